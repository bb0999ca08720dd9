"""The kinds of source, registered under their ``from:`` words. A new kind is one module and one line here."""

from __future__ import annotations

from pathlib import Path

from prebake.checkpoints.artifact import Artifact, Artifacts
from prebake.checkpoints.bucket import Bucket
from prebake.checkpoints.clouds import GS, S3
from prebake.checkpoints.http import Http
from prebake.checkpoints.local import Local
from prebake.checkpoints.modelscope import ModelScope
from prebake.checkpoints.pypi import Pypi
from prebake.checkpoints.sample import Sample
from prebake.checkpoints.source import Sources


def open_sources(root: Path, image: str, *, artifacts: Artifacts | None = None) -> Sources:
    """Every source, for the image ``images/<image>/`` of the project at ``root``; ``oci`` where ``artifacts`` are given."""
    from prebake.checkpoints.hub import Hub  # the hub's library takes 0.2 s to load, and most builds fetch nothing

    return {
        "sample": Sample(root, image),
        "hub": Hub(),
        "modelscope": ModelScope(),
        "http": Http(),
        "local": Local(root),
        "pypi": Pypi(),
        "s3": Bucket(S3),
        "gs": Bucket(GS),
        **({"oci": Artifact(artifacts)} if artifacts else {}),
    }
