"""Weight files: reading and writing safetensors, shards, digests."""
