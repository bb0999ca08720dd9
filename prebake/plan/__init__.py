"""Compute the Plan from values: layers, cache keys, disk space. Pure: no disk, clock, network or environment."""
