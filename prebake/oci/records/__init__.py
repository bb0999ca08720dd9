"""Records of layers and artifacts by cache key, in the store and at registries."""
