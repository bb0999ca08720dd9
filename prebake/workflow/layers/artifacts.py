"""The artifacts of a plan: found in the store and at registries, and listed in the image's manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from prebake.checkpoints.store.store import Store
from prebake.documents.artifact import ArtifactFile, add_artifacts
from prebake.documents.manifest.validation import seal_manifest
from prebake.io.byte_sizes import format_bytes
from prebake.io.log import Log
from prebake.oci.layers.compression import Compression
from prebake.oci.records.layer_records import FileRecord, Records
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.plan.artifact_layers import ArtifactsByModel, compile_command, layer_artifacts, with_artifacts
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.values import Plan
from prebake.workflow.layers.artifact_lookup import ArtifactFinder, FoundArtifact
from prebake.workflow.layers.cache_keys import layer_key
from prebake.workflow.layers.cache_lookup import BuildCache, open_caches
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.layers.remote_image import MODELS_MANIFEST


def find_artifacts(plan: Plan, layers: LayerStore, log: Log, *, download: bool = False) -> ArtifactsByModel:
    """Every artifact of the plan's models that the store or one of its registries has. With ``download``, and
    for an image of several models, those of registries are fetched into the store. The records of their layers are noted there.
    Removes damaged objects from the store."""
    found = dict(ArtifactFinder(layers, log, download=download or bool(plan.members)).all(plan))
    if not any(found.values()):
        if command := compile_command(plan):
            log(f"artifact: no artifact is compiled for a GPU; `{command}` compiles them on a machine with a GPU")
        return {}
    whole = with_artifacts(plan, _artifacts(found))
    remote = {one.artifact.key: one.layer for of_model in found.values() for one in of_model if one.layer}
    placed = layer_artifacts(whole)
    for planned in whole.layers:
        if planned.kind is LayerKind.COMPILED and (layer := remote.get(placed[planned.name].key)):
            key = layer_key(planned, layers.compression, None)
            if layers.cache.records.layers(key) is None:
                layers.cache.records.put_layers(key, (layer,))
    for artifact in whole.all_artifacts:
        log(f"artifact: {artifact.component} {artifact.label}, {format_bytes(artifact.size)}, for {artifact.machine}")
    return _artifacts(found)


def look_up(plan: Plan, layers: LayerStore, log: Log) -> ArtifactsByModel:
    """As ``find_artifacts``, but nothing is changed in the store."""
    return _artifacts(dict(ArtifactFinder(layers, log, drop_damaged=False).all(plan)))


@contextmanager
def open_layers(
    store: Store,
    references: Sequence[str],
    log: Log,
    compression: Compression = "auto",
    cache_from: Sequence[str] = (),
) -> Iterator[LayerStore]:
    """A layer store whose cache also asks the repositories of these references and of ``--cache-from``, open while the block
    runs."""
    with ExitStack() as stack:
        opened = [Repository(parse_reference(reference), log=log) for reference in references]
        caches = open_caches(cache_from, opened, log)
        for repository in (*opened, *caches):
            stack.enter_context(closing(repository))
        yield LayerStore(store, BuildCache(Records(store.root), opened, caches), compression)


def _artifacts(found: Mapping[str, Sequence[FoundArtifact]]) -> ArtifactsByModel:
    return {model: [one.artifact for one in of_model] for model, of_model in found.items()}


def list_artifacts(
    compiled: tuple[FileRecord, ...], artifacts: Sequence[ArtifactFile], store: Store
) -> tuple[FileRecord, ...]:
    """The files of the compile stage, with a manifest that lists the artifacts."""
    if not artifacts:
        return compiled
    before, manifest = _manifest(compiled, store)
    content = seal_manifest(add_artifacts(manifest, artifacts))
    stored = store.add_stream([content], sha256=None, name=before.path, origin="the compile stage")
    sealed = FileRecord(before.path, stored.sha256, stored.size)
    return tuple(sealed if file == before else file for file in compiled)


def _manifest(compiled: Sequence[FileRecord], store: Store) -> tuple[FileRecord, dict[str, Any]]:
    record = next(file for file in compiled if file.path == MODELS_MANIFEST)
    return record, json.loads(store.place(record.sha256).read_bytes())
