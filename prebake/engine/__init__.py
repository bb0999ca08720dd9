"""Docker: the Engine found or started, the base image, builds, containers, and what images hold."""
