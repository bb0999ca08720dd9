"""Files to values: ``image.yaml``, ``weights.lock`` and the code around them. Pure but for reading."""
