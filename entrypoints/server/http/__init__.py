"""The connection layer: from sockets to the ASGI application, by h11 (docs/decisions/0043)."""
