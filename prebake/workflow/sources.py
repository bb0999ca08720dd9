"""Every kind of source, with the registries that ``from: oci`` asks: here the two rooms meet."""

from __future__ import annotations

from pathlib import Path

from prebake.checkpoints.source import Sources
from prebake.checkpoints.sources import open_sources as open_kinds
from prebake.oci.artifacts import RegistryArtifacts


def open_sources(root: Path, image: str) -> Sources:
    """Every source, for the image ``images/<image>/`` of the project at ``root``."""
    return open_kinds(root, image, artifacts=RegistryArtifacts())
