"""Requests to one registry: authorized, checked, and repeated after transient errors."""
