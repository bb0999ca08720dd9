"""The server process: HTTP endpoints, request bodies, metrics, and the link to the model process."""
