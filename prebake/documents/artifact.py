"""``artifact.json``: the description of one component compiled for one kind of machine, and how a manifest lists it.

Standard library only: plan, stages and workflow read it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.documents.canonical import canonical_json, digest_json, without_seal
from prebake.documents.manifest.validation import find_artifact_problems, find_file_problems
from prebake.documents.schema_version import describe_mismatch

SCHEMA = 2
ARTIFACT_FILE = "artifact.json"
ARTIFACTS_FOLDER = "compiled"
"""The folder of artifacts below /models."""
_KEYS = {"schema", "component", "artifact", "files"}
_MAX_LEVELS = 60
KEY_INPUTS_IN_COMMON = {
    "onnxruntime": ("graph", "constants", "weights", "precision", "bake"),
    "torch": ("config", "weights", "networks", "loader", "precision", "bake"),
}
"""The key inputs that an artifact must have in common with its component, by the runtime that opens the component."""


@dataclass(frozen=True)
class ArtifactFile:
    """``entry``: the artifact as the manifest lists it. ``files``: by path below /models, each with size (bytes), sha256, xxh3
    and origin."""

    component: str
    entry: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def key(self) -> str:
        return str(self.entry["key"])

    @property
    def label(self) -> str:
        """The name of the artifact's folder."""
        return make_label(str(self.entry["name"]), self.key)

    @property
    def machine(self) -> str:
        """Text for people: the facts of the machines that can open it."""
        return ", ".join(f"{name} {value}" for name, value in sorted(self.entry["requires"].items()))

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(int(file["size"]) for file in self.files.values())

    @property
    def saved(self) -> float:
        """Seconds that it saves until a few answers (``prebake.bake.trials.cost_model``); 0 if it was not measured."""
        choice = self.entry.get("choice")
        if not choice:
            return 0.0
        candidates = choice["candidates"]
        return float(candidates[choice["baseline"]]["seconds"] - candidates[choice["candidate"]]["seconds"])

    def write(self, folder: Path, out: Path) -> None:
        """Move ``folder`` with the artifact's files to its place below ``out``, and write ``artifact.json`` beside them."""
        target = out / ARTIFACTS_FOLDER / self.component / self.label
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
        (target / ARTIFACT_FILE).write_bytes(self.to_json())

    def to_json(self) -> bytes:
        document = {"component": self.component, "artifact": dict(self.entry), "files": dict(self.files)}
        return canonical_json({"schema": SCHEMA, **document})

    @classmethod
    def from_json(cls, data: bytes) -> ArtifactFile:
        """The reverse of ``to_json``. Raises ValueError if the document is another, or if the key is not that of its inputs."""
        try:
            document = json.loads(data)
            if mismatch := describe_mismatch(document["schema"], SCHEMA, "run `prebake compile` again"):
                raise ValueError(f"{ARTIFACT_FILE} {mismatch}")
            if unknown := sorted(set(document) - _KEYS):
                raise ValueError(f"{ARTIFACT_FILE} has unknown keys: {', '.join(unknown)}")
            _check_depth(document)
            artifact = cls(document["component"], document["artifact"], document["files"])
            key = digest_json(artifact.entry["key_inputs"])
            faults = artifact._find_faults()
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{ARTIFACT_FILE} lacks {error}") from None
        except (ArithmeticError, IndexError, RecursionError) as error:
            raise ValueError(f"{ARTIFACT_FILE} cannot be read: {error}") from None
        if key != artifact.key:
            raise ValueError(f"its key is not that of its inputs: {artifact.key}")
        if faults:
            raise ValueError(f"{ARTIFACT_FILE} is invalid: {'; '.join(faults)}")
        return artifact

    def _find_faults(self) -> list[str]:
        """Raises KeyError, TypeError or AttributeError if a field is missing or has another type."""
        if not isinstance(self.component, str):
            return ["component: should be a string"]
        if problems := find_file_problems(self.files):
            return problems
        folder = f"{ARTIFACTS_FOLDER}/{self.component}/{self.label}/"
        outside = [path for path in self.files if not path.startswith(folder)]
        if outside or not self.files or not list_own_files(self.entry) <= set(self.files):
            return [f"it should have the files that open it, and all files below {folder}"]
        if not math.isfinite(self.saved):
            return ["artifact.choice: should have seconds that are numbers"]
        return find_artifact_problems(self.entry)


def _check_depth(value: object, levels: int = _MAX_LEVELS) -> None:
    """Raises ValueError for a document that is nested more deeply than any that Prebake writes."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        if levels == 0:
            raise ValueError(f"{ARTIFACT_FILE} is nested too deeply: more than {_MAX_LEVELS} levels")
        _check_depth(child, levels - 1)


def list_own_files(entry: Mapping[str, Any]) -> set[str]:
    """The files that only the artifact has: its graph, unless it opens the component's graph from a scratch folder; or the
    libraries or the cache of a network in torch."""
    if "libraries" in entry or "cache" in entry:
        return set(entry["byte_ranges"])
    return set() if "scratch" in entry else {entry["graph"]}


def make_label(name: str, key: str) -> str:
    """The folder's name: artifacts for several machines lie side by side."""
    return f"{name}-{key[:12]}"


def list_artifacts(manifest: Mapping[str, Any]) -> list[ArtifactFile]:
    """The artifacts that a manifest lists. Raises ValueError if one is not as ``ArtifactFile`` writes it."""
    artifacts = []
    for name, component in manifest.get("components", {}).items():
        for entry in component.get("artifacts", []):
            folder = f"{ARTIFACTS_FOLDER}/{name}/{make_label(entry['name'], entry['key'])}/"
            files = {path: file for path, file in manifest["files"].items() if path.startswith(folder)}
            artifacts.append(ArtifactFile.from_json(ArtifactFile(name, entry, files).to_json()))
    return artifacts


def find_stale_inputs(artifact: ArtifactFile, components: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names of the key inputs in which an artifact and its component differ; ``component`` if there is no such component."""
    if artifact.component not in components:
        return ["component"]
    component, compiled = components[artifact.component], artifact.entry["key_inputs"]
    inputs = component.get("key_inputs", {})
    names = KEY_INPUTS_IN_COMMON[component.get("runtime", "onnxruntime")]
    return [name for name in names if name not in inputs or inputs[name] != compiled.get(name)]


def add_artifacts(manifest: Mapping[str, Any], artifacts: Iterable[ArtifactFile]) -> dict[str, Any]:
    """The manifest with these artifacts, without its digest. A start tries them in this order."""
    components = {name: dict(component) for name, component in manifest["components"].items()}
    files = dict(manifest["files"])
    for artifact in artifacts:
        component = components[artifact.component]
        component["artifacts"] = [*component.get("artifacts", []), dict(artifact.entry)]
        files |= {path: dict(file) for path, file in artifact.files.items()}
    return {**without_seal(manifest), "components": components, "files": files}
