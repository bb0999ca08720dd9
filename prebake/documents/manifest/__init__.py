"""``/models/manifest.json`` as the builder writes it: its schema, its validation and its digest. Standard library only.

The container does not have this package. It trusts a manifest whose own sha256 is right (``entrypoints.manifest.reader``).
"""
