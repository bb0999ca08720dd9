"""Images assembled from layers, and written as OCI layouts and archives."""
