"""The Plan to text: Dockerfiles, the context's index, Kubernetes manifests. Pure."""
