"""``prebake init``: a checkpoint to the folder of an image."""
