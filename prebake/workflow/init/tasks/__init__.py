"""The tasks of transformers checkpoints that ``prebake init`` writes images for."""
