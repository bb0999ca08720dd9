"""Bytes out: layers as deterministic tars, manifests, registries, layouts (OCI image and distribution specifications)."""
