"""Checkpoints of a project: their lock, their sources, samples of a chosen size, and system packages."""
