"""Folders of this repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY_IMAGES = ROOT / "tests/support/bake"
"""Holds ``images/NAME/export.py`` of tiny models: on ``sys.path``, they are ``images.NAME``."""
