"""The model process: preload, warm-up, inference."""
