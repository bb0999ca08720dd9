"""The code that runs in the stages of a build: it turns weights and torch modules into graphs and a manifest.

A model's ``export.py`` imports ``prebake.bake.authoring``. The compile stage has no torch, so its modules must not import it.
"""
