"""The metadata of an image, from git, the CI system and the environment."""
