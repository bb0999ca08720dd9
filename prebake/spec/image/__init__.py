"""``image.yaml`` as frozen models."""
