"""What was compiled for machines: looked up for a plan in the store and at its registries, and told in its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from prebake.bake.artifact_file import NAME, ArtifactFile, add_artifacts, find_other
from prebake.bake.documents import canonical_json
from prebake.checkpoints.store import Store, default_root
from prebake.errors import ChecksumMismatch
from prebake.oci.errors import RegistryDenied, RegistryError
from prebake.oci.records import FileRecord, LayerRecord, Records
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.oci.shared_artifacts import find_artifacts as find_shared
from prebake.plan.compiled import compile_command, lookup_key, with_artifacts
from prebake.plan.values import Plan
from prebake.sizes import show_bytes
from prebake.workflow.found_image import MODELS_MANIFEST
from prebake.workflow.known import record_key
from prebake.workflow.library import Library
from prebake.workflow.parts import Parts
from prebake.workflow.steps import Tell


def find_artifacts(plan: Plan, parts: Parts, tell: Tell) -> Plan:
    """The plan with every artifact that the store has whole, or one of its registries has."""
    found = dict(Finder(parts, tell).all(plan))
    if not any(found.values()):
        if plan_command := compile_command(plan):
            tell(f"artifact: none is compiled for a GPU; `{plan_command}` makes them where one is")
        return plan
    whole = told_of(plan, found)
    remote = {each.artifact.key: each.layer for each_found in found.values() for each in each_found if each.layer}
    layers = (layer for layer in whole.layers if layer.kind == "compiled")
    for planned, artifact in zip(layers, whole.compiled, strict=True):
        key = record_key(planned, parts.compression, None)
        if artifact.key in remote and parts.library.records.layers(key) is None:
            parts.library.records.put_layers(key, (remote[artifact.key],))
    for artifact in whole.compiled:
        tell(f"artifact: {artifact.component} {artifact.label}, {show_bytes(artifact.size)}, for {artifact.machine}")
    return whole


def look_up(plan: Plan, references: Sequence[str], tell: Tell) -> Plan:
    """The plan with what the store and these repositories have by now; nothing is changed."""
    with ExitStack() as held:
        opened = [Repository(parse_reference(reference), say=tell) for reference in references]
        for repository in opened:
            held.enter_context(closing(repository))
        store = Store(default_root())
        parts = Parts(store, Library(Records(store.root), opened))
        return told_of(plan, dict(Finder(parts, tell, mend=False).all(plan)))


def told_of(plan: Plan, found: Mapping[str, Sequence[FoundArtifact]]) -> Plan:
    """The plan with what was found, by model."""
    return with_artifacts(plan, {model: [each.artifact for each in artifacts] for model, artifacts in found.items()})


@dataclass(frozen=True)
class FoundArtifact:
    """``layer`` is what a registry holds of it, where the store does not have its bytes."""

    artifact: ArtifactFile
    layer: LayerRecord | None = None


@dataclass(frozen=True)
class Finder:
    """``mend``: whether damaged objects leave the store, so that they are made or fetched again."""

    parts: Parts
    tell: Tell
    mend: bool = True

    def all(self, plan: Plan) -> Iterator[tuple[str, list[FoundArtifact]]]:
        """By model."""
        return ((model.name, self.find(lookup_key(model))) for model in plan.models)

    def find(self, lookup: str) -> list[FoundArtifact]:
        """Those listed under a key; what is damaged is told, and is taken from the next place that has it whole."""
        found = {each.artifact.key: each for each in self._shared(lookup)}
        for key, files in self.parts.library.records.listed(lookup).items():
            if (artifact := self._stored(key, files)) is not None:
                found[key] = FoundArtifact(artifact)
        return [found[key] for key in sorted(found)]

    def _stored(self, key: str, files: Sequence[FileRecord]) -> ArtifactFile | None:
        """None where a byte of it is missing or changed."""
        store = self.parts.store
        for file in files:
            if store.get(file.sha256, file.size) is None:
                if (path := store.get(file.sha256)) is not None:
                    self._drop(key, file, f"has {path.stat().st_size} bytes, not {file.size}")
                return None
            if (damage := store.damage(file.sha256)) is not None:
                self._drop(key, file, f"has the sha256 {damage.found}, not {file.sha256}")
                return None
        (description,) = (file for file in files if file.path == NAME)
        return read_artifact(store.place(description.sha256).read_bytes(), key, self.tell)

    def _drop(self, key: str, file: FileRecord, what: str) -> None:
        self.tell(f"artifact: {key[:12]} of the store is damaged and left out: {file.path} {what}")
        if self.mend:
            self.parts.store.drop(file.sha256)

    def _shared(self, lookup: str) -> list[FoundArtifact]:
        return [found for repository in self.parts.library.repositories for found in self._at(repository, lookup)]

    def _at(self, repository: Repository, lookup: str) -> list[FoundArtifact]:
        """An image without what cannot be read is slower to start, and right."""
        found = []
        try:
            for shared in find_shared(repository, lookup):
                artifact = read_artifact(shared.description, None, self.tell)
                found += [FoundArtifact(artifact, shared.layer)] if artifact else []
        except (ChecksumMismatch, RegistryError, RegistryDenied) as error:
            self.tell(f"artifact: not all of {repository.reference.name}'s are taken: {error.message}")
        return found


def read_artifact(description: bytes, key: str | None, tell: Tell) -> ArtifactFile | None:
    """None, and told, for what is no description, or one of another key."""
    try:
        artifact = ArtifactFile.from_json(description)
        if key not in (None, artifact.key):
            raise ValueError(f"it has the key {artifact.key}")
    except ValueError as error:
        tell(f"artifact: {key or NAME} is left out: {error}")
        return None
    return artifact


def other_artifacts(
    compiled: Sequence[FileRecord], artifacts: Sequence[ArtifactFile], store: Store, tell: Tell
) -> frozenset[str]:
    """The keys of those that were made of another graph, weight or precision than the components of this manifest."""
    components = _manifest(compiled, store)[1]["components"]
    others = set()
    for artifact in artifacts:
        if names := find_other(artifact, components):
            tell(f"artifact: {artifact.component} {artifact.label} is left out: made of another {', '.join(names)}")
            others.add(artifact.key)
    return frozenset(others)


def tell_artifacts(
    compiled: tuple[FileRecord, ...], artifacts: Sequence[ArtifactFile], store: Store
) -> tuple[FileRecord, ...]:
    """What the compile stage made, with a manifest that tells of artifacts."""
    if not artifacts:
        return compiled
    before, manifest = _manifest(compiled, store)
    content = canonical_json(add_artifacts(manifest, artifacts))
    stored = store.add_stream([content], sha256=None, name=before.path, origin="the compile stage")
    told = FileRecord(before.path, stored.sha256, stored.size)
    return tuple(told if file == before else file for file in compiled)


def _manifest(compiled: Sequence[FileRecord], store: Store) -> tuple[FileRecord, dict[str, Any]]:
    record = next(file for file in compiled if file.path == MODELS_MANIFEST)
    return record, json.loads(store.place(record.sha256).read_bytes())
