"""Prebake bakes a machine-learning model into a container image that starts warm."""

__version__ = "0.1.0"
