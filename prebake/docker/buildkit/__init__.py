"""Builds by BuildKit."""
