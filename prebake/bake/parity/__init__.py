"""Compares the outputs of baked graphs with the framework's."""
