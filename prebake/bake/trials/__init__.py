"""Trials: which way to open a component pays, by measurement."""
