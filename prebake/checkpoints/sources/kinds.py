"""The kinds of source, registered under their ``from:`` words. A new kind is one module and one line here."""

from __future__ import annotations

from pathlib import Path

from prebake.checkpoints.source import Sources
from prebake.checkpoints.sources.bucket import Bucket
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.sources.local_folder import Local
from prebake.checkpoints.sources.modelscope import ModelScope
from prebake.checkpoints.sources.object_stores import GS, S3
from prebake.checkpoints.sources.oci_artifact import ArtifactRegistry, OciArtifact
from prebake.checkpoints.sources.pypi import Pypi
from prebake.checkpoints.sources.sample import Sample


def open_sources(root: Path, image: str, *, artifacts: ArtifactRegistry | None = None) -> Sources:
    """Every source, for the image ``images/<image>/`` of the project at ``root``; ``oci`` only with ``artifacts``."""
    from prebake.checkpoints.sources.huggingface import (
        HuggingFace,  # the hub's library takes 0.2 s to load, and most builds download nothing
    )

    return {
        "sample": Sample(root, image),
        "hub": HuggingFace(),
        "modelscope": ModelScope(),
        "http": Http(),
        "local": Local(root),
        "pypi": Pypi(),
        "s3": Bucket(S3),
        "gs": Bucket(GS),
        **({"oci": OciArtifact(artifacts)} if artifacts else {}),
    }
