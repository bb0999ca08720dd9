"""What runs inside the export and compile stages of a build: weights and a torch module in, graphs and a manifest out.

The stages' images hold ``prebake/__init__.py``, ``prebake/errors.py`` and this package, nothing else of Prebake. What
the compile stage imports never imports torch.
"""
