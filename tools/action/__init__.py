"""The steps of the GitHub action: one module for each, with Python's standard library. Settings come from the environment."""
