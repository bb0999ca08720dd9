"""OCI images: layers as reproducible tars, manifests, registries, layouts (OCI image and distribution specifications)."""
