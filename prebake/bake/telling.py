"""A manifest that tells of artifacts made elsewhere: the compile stage knows of none. Standard library only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prebake.bake.artifact_file import ArtifactFile, add_artifacts, find_other
from prebake.bake.documents import sealed
from prebake.bake.errors import BakeError

MANIFEST = "manifest.json"


def tell_artifacts(described: Path, models: Path) -> None:
    """Have the manifest of ``models`` tell of the artifacts that ``described`` has an ``artifact.json`` each of, in the order of
    those files' names. One that was made of another graph, weight or precision is left out, and that is said.

    Raises BakeError with every file that describes none.
    """
    manifest = json.loads((models / MANIFEST).read_bytes())
    fitting = list(_fitting(_read(described), manifest["components"]))
    (models / MANIFEST).write_bytes(sealed(add_artifacts(manifest, fitting)))


def _read(described: Path) -> list[ArtifactFile]:
    found, faults = [], []
    for path in sorted(described.glob("*.json")):
        try:
            found.append(ArtifactFile.from_json(path.read_bytes()))
        except ValueError as error:
            faults.append(f"\n  {path.name}: {error}")
    if faults:
        raise BakeError(f"Artifacts cannot be told:{''.join(faults)}", next_action="Render the folder again.")
    return found


def _fitting(artifacts: list[ArtifactFile], components: Mapping[str, Mapping[str, Any]]) -> Iterator[ArtifactFile]:
    for artifact in artifacts:
        if others := find_other(artifact, components):
            print(
                f"{artifact.component}: artifact {artifact.label} is not told, as it was made of another {', '.join(others)}: "
                "its files lie unread in the image; compile again and render again",
                file=sys.stderr,
            )
        else:
            yield artifact
