"""Layers and artifacts of a plan: their cache keys, where they are looked up, and where they are kept."""
