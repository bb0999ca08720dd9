"""Published ONNX graphs: checked, prepared for the bake, and given inputs that they run on."""
