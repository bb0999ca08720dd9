"""Registries: repositories, credentials, referrers, and the read-only registry on loopback."""
