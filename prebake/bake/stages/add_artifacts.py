"""The add-artifacts stage: adds artifacts that were compiled elsewhere to a manifest. Standard library only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prebake.bake.errors import BakeError
from prebake.documents.artifact import ArtifactFile, add_artifacts, find_stale_inputs
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.model_manifest import MODEL_MANIFEST


def add_artifacts_to_folder(described: Path, models: Path) -> None:
    """Add the artifacts whose ``artifact.json`` lie in ``described`` to the manifest of ``models``, in the order of the
    files' names. An artifact that was compiled from another graph, other weights or another precision is left out, with a
    warning on stderr.

    Raises BakeError with every file that is not a description of an artifact.
    """
    manifest = json.loads((models / MODEL_MANIFEST).read_bytes())
    matching = list(_select_matching(_read(described), manifest["components"]))
    (models / MODEL_MANIFEST).write_bytes(seal_manifest(add_artifacts(manifest, matching)))


def _read(described: Path) -> list[ArtifactFile]:
    artifacts, problems = [], []
    for path in sorted(described.glob("*.json")):
        try:
            artifacts.append(ArtifactFile.from_json(path.read_bytes()))
        except ValueError as error:
            problems.append(f"\n  {path.name}: {error}")
    if problems:
        message = f"Artifacts cannot be added to the manifest:{''.join(problems)}"
        raise BakeError(message, next_action="render the folder again")
    return artifacts


def _select_matching(
    artifacts: list[ArtifactFile], components: Mapping[str, Mapping[str, Any]]
) -> Iterator[ArtifactFile]:
    for artifact in artifacts:
        if differing := find_stale_inputs(artifact, components):
            print(
                f"{artifact.component}: artifact {artifact.label} is left out of the manifest: it was compiled from another "
                f"{', '.join(differing)}. Its files stay in the image, but no start reads them. Compile again and render again.",
                file=sys.stderr,
            )
        else:
            yield artifact
