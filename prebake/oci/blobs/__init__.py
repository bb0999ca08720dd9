"""Blobs: descriptors, content, verification."""
