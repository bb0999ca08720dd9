"""The Docker Engine: builds, containers, images."""
