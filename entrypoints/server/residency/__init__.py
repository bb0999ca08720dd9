"""Which models are loaded: by an operator, by requests, and by policy. Imported only if needed."""
