"""How components are opened: fallbacks, ONNX Runtime sessions, torch networks and what was compiled for them."""
