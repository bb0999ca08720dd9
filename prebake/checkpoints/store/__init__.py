"""The content-addressed store of weight files."""
