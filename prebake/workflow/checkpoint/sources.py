"""All kinds of sources, with the OCI registries that ``from: oci`` reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from prebake.checkpoints.source import Sources
from prebake.checkpoints.sources.kinds import open_sources as open_kinds
from prebake.oci.registry.artifacts import RegistryArtifacts


@contextmanager
def open_sources(root: Path, image: str) -> Iterator[Sources]:
    """All sources for the image ``images/<image>/`` of the project at ``root``."""
    with closing(RegistryArtifacts()) as artifacts:
        yield open_kinds(root, image, artifacts=artifacts)
