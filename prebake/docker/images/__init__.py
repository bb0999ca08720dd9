"""Images of the Engine: the base image, pull, export, tags."""
