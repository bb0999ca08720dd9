"""A start as a trace that Perfetto opens."""
