"""``artifact.json``: what was compiled of one component for one kind of machine, and how it gets into a manifest.

Standard library only: the builder reads it, too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.bake.documents import canonical_json, digest_json, without_seal
from prebake.errors import newer_schema

SCHEMA = 1
NAME = "artifact.json"
FOLDER = "compiled"
"""Where artifacts lie, below /models."""
HELD = {
    "onnxruntime": ("graph", "constants", "weights", "precision", "bake"),
    "torch": ("config", "weights", "networks", "loader", "precision", "bake"),
}
"""What of its key an artifact has to have in common with the component that it is put beside, by what opens that."""


@dataclass(frozen=True)
class ArtifactFile:
    """``entry`` is the manifest's; ``files`` those of the artifact, by their paths below /models: size (bytes), sha256, xxh3
    and origin."""

    component: str
    entry: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def key(self) -> str:
        return str(self.entry["key"])

    @property
    def label(self) -> str:
        """The folder that it lies in."""
        return label_of(str(self.entry["rung"]), self.key)

    @property
    def machine(self) -> str:
        """The machines that open it, for people."""
        return ", ".join(f"{name} {value}" for name, value in sorted(self.entry["fields"].items()))

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(int(file["size"]) for file in self.files.values())

    @property
    def saved(self) -> float:
        """Seconds that it saved until a few answers, where it was measured (``prebake.bake.worth``); else none."""
        choice = self.entry.get("choice")
        if not choice:
            return 0.0
        ways = choice["ways"]
        return float(ways[choice["without"]]["seconds"] - ways[choice["way"]]["seconds"])

    def write(self, folder: Path, out: Path) -> None:
        """Move ``folder``, which has its files, to its place below ``out``, and put ``artifact.json`` beside them."""
        home = out / FOLDER / self.component / self.label
        home.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, home)
        (home / NAME).write_bytes(self.to_json())

    def to_json(self) -> bytes:
        document = {"component": self.component, "artifact": dict(self.entry), "files": dict(self.files)}
        return canonical_json({"schema": SCHEMA, **document})

    @classmethod
    def from_json(cls, data: bytes) -> ArtifactFile:
        """The reverse of ``to_json``. Raises ValueError for anything else, a key that is not that of its fields included."""
        try:
            document = json.loads(data)
            if document["schema"] != SCHEMA:
                newer = newer_schema(document["schema"], SCHEMA)
                raise ValueError(f"{NAME} {newer}" if newer else f"schema must be {SCHEMA}")
            found = cls(document["component"], document["artifact"], document["files"])
            fields, home = found.entry["key_fields"], f"{FOLDER}/{found.component}/{found.label}/"
            strays = [path for path in found.files if not path.startswith(home)]
            sizes = [(int(file["size"]), str(file["sha256"])) for file in found.files.values()]
            named = named_files(found.entry)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{NAME} lacks {error}") from None
        if digest_json(fields) != found.key:
            raise ValueError(f"its key is not that of its fields: {found.key}")
        if strays or not sizes or not named <= set(found.files):
            raise ValueError(f"it should have what it is opened by and all its files below {home}")
        return found


def named_files(entry: Mapping[str, Any]) -> set[str]:
    """What an artifact has to have of its own: its graph, unless it has the component's built from a scratch folder; or the
    libraries or the cache of a network in torch."""
    if "libraries" in entry or "cache" in entry:
        return set(entry["reads"])
    return set() if "scratch" in entry else {entry["graph"]}


def label_of(rung: str, key: str) -> str:
    """Artifacts of several machines lie side by side."""
    return f"{rung}-{key[:12]}"


def artifacts_of(manifest: Mapping[str, Any]) -> list[ArtifactFile]:
    """Those that a manifest tells of. Raises ValueError where one is not as it is written."""
    found = []
    for name, component in manifest.get("components", {}).items():
        for entry in component.get("artifacts", []):
            home = f"{FOLDER}/{name}/{label_of(entry['rung'], entry['key'])}"
            files = {path: file for path, file in manifest["files"].items() if path.startswith(f"{home}/")}
            found.append(ArtifactFile.from_json(ArtifactFile(name, entry, files).to_json()))
    return found


def find_other(artifact: ArtifactFile, components: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What an artifact was made of that the component is not made of: the names of key fields, or ``component``."""
    if artifact.component not in components:
        return ["component"]
    component, its = components[artifact.component], artifact.entry["key_fields"]
    own, held = component.get("key_fields", {}), HELD[component.get("runtime", "onnxruntime")]
    return [name for name in held if name not in own or own[name] != its.get(name)]


def add_artifacts(manifest: Mapping[str, Any], artifacts: Iterable[ArtifactFile]) -> dict[str, Any]:
    """The manifest with these, in the order in which a start should try them."""
    components = {name: dict(component) for name, component in manifest["components"].items()}
    files = dict(manifest["files"])
    for artifact in artifacts:
        component = components[artifact.component]
        component["artifacts"] = [*component.get("artifacts", []), dict(artifact.entry)]
        files |= {path: dict(file) for path, file in artifact.files.items()}
    return {**without_seal(manifest), "components": components, "files": files}
