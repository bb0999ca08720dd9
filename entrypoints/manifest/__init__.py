"""``/models/manifest.json``: its reader, and the values that it builds."""
