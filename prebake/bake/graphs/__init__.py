"""ONNX graphs as files, their external data, their optimization and the sessions that open them."""
