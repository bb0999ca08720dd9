"""The files of the image: verified against the manifest, and read ahead of their use."""
