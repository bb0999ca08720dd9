"""For Debian machines without Docker or a registry: a private Docker Engine and a base image, both from Debian's packages."""
