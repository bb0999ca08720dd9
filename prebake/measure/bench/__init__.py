"""Benchmarks: fresh containers in turn, and the bounds that they have to meet."""
