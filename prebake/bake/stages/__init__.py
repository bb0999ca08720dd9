"""The stages of a build: one module for each."""
