"""A built image, started: its answer compared with the framework's, its start timed."""
