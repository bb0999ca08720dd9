"""Faults of ``image.yaml`` between several fields."""
