"""The kinds of source, registered under their ``from:`` words. A new kind is one module and one line here."""

from __future__ import annotations

from pathlib import Path

from prebake.checkpoints.http import Http
from prebake.checkpoints.local import Local
from prebake.checkpoints.pypi import Pypi
from prebake.checkpoints.sample import Sample
from prebake.checkpoints.source import Sources


def open_sources(root: Path, image: str) -> Sources:
    """Every source, for the image ``images/<image>/`` of the project at ``root``."""
    from prebake.checkpoints.hub import Hub  # the hub's library takes 0.2 s to load, and most builds fetch nothing

    return {
        "sample": Sample(root, image),
        "hub": Hub(),
        "http": Http(),
        "local": Local(root),
        "pypi": Pypi(),
    }
