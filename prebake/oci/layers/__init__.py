"""Layers: written as reproducible tars, compressed, and read back."""
