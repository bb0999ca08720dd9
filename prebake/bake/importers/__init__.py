"""Converts torch modules and published torch programs to ONNX graphs."""
