"""Runs that take minutes to hours, one module each: soak, malformed, restarts, published, aa. Each has a target in the Makefile,
and a sample of seconds in tests/e2e/long."""
