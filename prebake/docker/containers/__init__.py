"""Containers: their description, their start and their removal."""
