"""A compiled artifact: its files in a folder of the stage, its key, and its description for the manifest."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnxruntime as ort

from entrypoints.manifest.shape_buckets import ACCEPTS_ANY
from prebake.bake.graphs.provider_options import CPU
from prebake.bake.graphs.sessions import make_options, open_with
from prebake.documents.artifact import ARTIFACTS_FOLDER, ArtifactFile, make_label
from prebake.documents.canonical import digest_json
from prebake.documents.component import SessionSettings
from prebake.documents.stage_events import ARTIFACT_KEPT, ARTIFACT_LEFT_OUT, StageEvent

Files = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class CompiledArtifact(ABC):
    """A compiler's output for one component: the files in ``folder``. ``candidate`` is the name of the container's candidate.

    requires: facts that must be equal on the machine that opens it (``entrypoints.hardware.facts``).
    minimum: versions that the machine must reach.
    key_inputs: further inputs of the cache key, such as shape profiles.
    """

    candidate: str
    folder: Path
    requires: Mapping[str, str]
    minimum: Mapping[str, str] = field(default_factory=dict)
    key_inputs: Mapping[str, object] = field(default_factory=dict)

    @abstractmethod
    def _own_key_fields(self) -> dict[str, object]:
        """The inputs of the key that this kind of artifact has."""

    @abstractmethod
    def _own_entry(self, home: str, files: Files) -> dict[str, object]:
        """The keys of the manifest's entry that this kind of artifact has, ``byte_ranges`` included. ``home`` is the
        artifact's folder below /models, ``files`` are its own."""

    def key_fields(self, component: Mapping[str, object]) -> dict[str, object]:
        """All inputs of the artifact's key, which is their sha256: those of its component's key, and its own. The options that
        the component itself is opened with are not among them."""
        own = {"name": self.candidate, "machine": dict(self.requires), "compiler_inputs": dict(self.key_inputs)}
        return {**component, **own, **self._own_key_fields()}

    def describe(
        self, name: str, component: Mapping[str, object], choice: Mapping[str, object] | None = None
    ) -> ArtifactFile:
        """The artifact of the component ``name`` at its place in the image. ``component`` are the component's key fields,
        ``choice`` has the measurements of the trials (``prebake.bake.trials.cost_model``)."""
        from prebake.bake.model_folder.manifest import file_entry  # imports onnx_ir, which a trial does not need

        fields = self.key_fields(component)
        key = digest_json(fields)
        home = f"{ARTIFACTS_FOLDER}/{name}/{make_label(self.candidate, key)}"
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        files = {f"{home}/{path.relative_to(self.folder).as_posix()}": file_entry(path, "compiled") for path in paths}
        entry = {
            "name": self.candidate,
            "requires": dict(self.requires),
            "minimum": dict(self.minimum),
            "key": key,
            "key_inputs": fields,
            **self._own_entry(home, files),
            **({"choice": dict(choice)} if choice else {}),
        }
        return ArtifactFile(name, entry, files)


def kept_event(artifact: ArtifactFile, kept: bool, verdict: str, figures: Mapping[str, object]) -> StageEvent:
    """The event that an artifact was kept or left out; ``verdict`` is the reason."""
    message = f"artifact {artifact.label} {'kept' if kept else 'left out'}: {verdict}"
    return StageEvent(ARTIFACT_KEPT if kept else ARTIFACT_LEFT_OUT, artifact.component, message, figures)


def folder_bytes(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def whole_files(files: Files) -> dict[str, list[list[int]]]:
    """The byte range of each file that covers all of it."""
    return {path: [[0, file["size"]]] for path, file in files.items()}


@dataclass(frozen=True, kw_only=True)
class CompiledGraph(CompiledArtifact):
    """An ONNX graph that ONNX Runtime compiled. Paths are below /models, but for ``graph``, which is below ``folder``.

    graph: the file that is opened; empty if ``component_graph`` is opened instead.
    weights: the folder whose files the graph names, if they are not the artifact's own.
    folders: the folder for each of the provider's options that names one.
    byte_ranges: the ranges that are read from files other than the artifact's own.
    scratch: the options that get the path of a writable copy of the artifact's folder; None if no copy is needed.
    fallback_for: the candidate that this artifact replaces on machines which do not meet that candidate's requirements. This
        artifact is kept if that candidate is.
    accepts: the input shapes (``entrypoints.manifest.shape_buckets``).
    """

    graph: str
    provider: str
    session: SessionSettings
    options: Mapping[str, str] = field(default_factory=dict)
    component_graph: str = ""
    weights: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)
    byte_ranges: Mapping[str, list[list[int]]] = field(default_factory=dict)
    scratch: tuple[str, ...] | None = None
    fallback_for: str = ""
    accepts: str = ACCEPTS_ANY

    def _own_key_fields(self) -> dict[str, object]:
        paths = {
            "graph": self.component_graph,
            "weights_folder": self.weights,
            "folder_options": dict(self.folders),
        }
        session = self.session.to_manifest()
        options = dict(self.options)
        return {"provider": self.provider, "provider_options": options, "session": session, "paths": paths}

    def _own_entry(self, home: str, files: Files) -> dict[str, object]:
        from prebake.bake.graphs.onnx_files import load
        from prebake.bake.model_folder.manifest import find_byte_ranges

        graph = self.component_graph or f"{home}/{self.graph}"
        own = whole_files({path: file for path, file in files.items() if path != graph})
        external = (
            {} if self.component_graph or self.weights else find_byte_ranges(load(self.folder / self.graph), home)
        )
        return {
            "graph": graph,
            "provider": self.provider,
            "provider_options": dict(self.options),
            "session": self.session.to_manifest(),
            **({"weights_folder": self.weights} if self.weights else {}),
            **({"folder_options": dict(self.folders)} if self.folders else {}),
            **({} if self.scratch is None else {"scratch": {"folder": home, "option_names": list(self.scratch)}}),
            "accepts": self.accepts,
            "byte_ranges": {**own, **external, **self.byte_ranges},
        }


def open_artifact(artifact: CompiledGraph, models: Path) -> ort.InferenceSession:
    """A session of the artifact, opened as the container opens it. ``models`` is the folder of the component's graph and
    weights."""
    options = make_options(
        artifact.session,
        weights_folder=str(models / artifact.weights) if artifact.weights else "",
        compiles=artifact.provider == CPU or bool(artifact.component_graph) or not artifact.requires,
    )
    folders = {name: str(models / path) for name, path in artifact.folders.items()}
    if artifact.scratch is None:
        return open_with(
            artifact.folder / artifact.graph, options, {artifact.provider: {**artifact.options, **folders}}
        )
    with TemporaryDirectory(prefix="scratch-") as scratch:
        shutil.copytree(artifact.folder, scratch, dirs_exist_ok=True)
        given = {**artifact.options, **folders, **dict.fromkeys(artifact.scratch, scratch)}
        graph = models / artifact.component_graph if artifact.component_graph else Path(scratch, artifact.graph)
        return open_with(graph, options, {artifact.provider: given})
