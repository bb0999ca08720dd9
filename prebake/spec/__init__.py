"""Reads ``image.yaml``, ``weights.lock`` and the image's code into values. Its only effect is reading files."""
