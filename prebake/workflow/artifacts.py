"""What was compiled for machines: looked up for a plan in the store and at its registries, and told in its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from prebake.bake.artifact_file import ArtifactFile, add_artifacts, find_other
from prebake.bake.documents import sealed
from prebake.checkpoints.store import Store, default_root
from prebake.oci.records import FileRecord, Records
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.plan.compiled import compile_command, with_artifacts
from prebake.plan.values import Plan
from prebake.sizes import show_bytes
from prebake.workflow.artifact_finder import Finder, FoundArtifact
from prebake.workflow.found_image import MODELS_MANIFEST
from prebake.workflow.known import record_key
from prebake.workflow.library import Library
from prebake.workflow.parts import Parts
from prebake.workflow.steps import Tell


def find_artifacts(plan: Plan, parts: Parts, tell: Tell, *, bring: bool = False) -> Plan:
    """The plan with every artifact that the store has whole, or one of its registries has; with ``bring`` the store then has
    all of them."""
    found = dict(Finder(parts, tell, bring=bring or bool(plan.members)).all(plan))
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
    with open_parts(Store(default_root()), references, tell) as parts:
        return told_of(plan, dict(Finder(parts, tell, mend=False).all(plan)))


@contextmanager
def open_parts(store: Store, references: Sequence[str], tell: Tell) -> Iterator[Parts]:
    """The store, and the repositories of these references while the block runs."""
    with ExitStack() as held:
        opened = [Repository(parse_reference(reference), say=tell) for reference in references]
        for repository in opened:
            held.enter_context(closing(repository))
        yield Parts(store, Library(Records(store.root), opened))


def told_of(plan: Plan, found: Mapping[str, Sequence[FoundArtifact]]) -> Plan:
    """The plan with what was found, by model."""
    return with_artifacts(plan, {model: [each.artifact for each in artifacts] for model, artifacts in found.items()})


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
    content = sealed(add_artifacts(manifest, artifacts))
    stored = store.add_stream([content], sha256=None, name=before.path, origin="the compile stage")
    told = FileRecord(before.path, stored.sha256, stored.size)
    return tuple(told if file == before else file for file in compiled)


def _manifest(compiled: Sequence[FileRecord], store: Store) -> tuple[FileRecord, dict[str, Any]]:
    record = next(file for file in compiled if file.path == MODELS_MANIFEST)
    return record, json.loads(store.place(record.sha256).read_bytes())
