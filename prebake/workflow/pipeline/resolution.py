"""Look up what a build can reuse: records of layers, results of stages, files of the store, images of the Engine.

Nothing is built or started, and no weights are downloaded. Records that only a registry has are noted in the store. If no
Engine answers, its facts are unknown; that is no error.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from prebake.checkpoints.fetch import find_missing
from prebake.docker.connection import Connection
from prebake.docker.images.base_image import Base, find_base_image
from prebake.docker.images.images import has_image
from prebake.documents.artifact import ArtifactFile, find_stale_inputs
from prebake.oci.layers.compression import Compression
from prebake.oci.records.layer_records import FileRecord, LayerRecord
from prebake.plan.artifact_layers import ArtifactsByModel, with_artifacts
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.values import Plan
from prebake.spec.lock import LockedFile
from prebake.workflow.layers.cache_keys import (
    compiled_key,
    exported_key,
    graphs_key,
    joined_key,
    known_records,
)
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.layers.remote_image import MODELS_MANIFEST
from prebake.workflow.pipeline.base_layers import has_base_layers
from prebake.workflow.pipeline.stage_images import artifact_image, export_image

LayerRecords = Mapping[str, tuple[LayerRecord, ...] | None]
"""By the name of the layer; None if it has to be built, or if its base image is not known."""


@dataclass(frozen=True)
class LeftOut:
    """An artifact that was compiled from other inputs than this image's graphs. ``differences`` are the names of key fields."""

    artifact: ArtifactFile
    differences: tuple[str, ...]

    def __str__(self) -> str:
        name = f"{self.artifact.component} {self.artifact.label}"
        return f"{name} is not used: it was compiled from another {', '.join(self.differences)}"


@dataclass(frozen=True)
class Resolution:
    """The results that a build can reuse.

    ``plan`` has the artifacts that fit the graphs, and those that are not compared yet, whose keys are
    ``undecided_artifacts``. ``stored_keys`` are the keys of stages whose result the store has, ``engine_images`` the tags of
    stage images that the Engine has, ``missing`` the checkpoint files that the store lacks, by model. ``engine``:
    whether an Engine answers. ``lost`` are the names of
    layers that were built before and whose bytes are gone.
    """

    plan: Plan
    base: Base | None
    records: LayerRecords
    compression: Compression
    engine: bool = True
    base_layers_known: bool = False
    stored_keys: frozenset[str] = frozenset()
    engine_images: frozenset[str] = frozenset()
    missing: Mapping[str, Sequence[LockedFile]] = field(default_factory=dict)
    system_missing: int = 0
    undecided_artifacts: frozenset[str] = frozenset()
    left_out: tuple[LeftOut, ...] = ()
    lost: frozenset[str] = frozenset()

    def require_base(self) -> Base:
        """The base image; after a pipeline has run, it is known."""
        if self.base is None:
            raise ValueError(f"no base image of {self.plan.name} was resolved")
        return self.base


@dataclass(frozen=True)
class Fit:
    """The artifacts that fit the graphs, or may fit them."""

    artifacts: ArtifactsByModel
    undecided: frozenset[str] = frozenset()
    left_out: tuple[LeftOut, ...] = ()


def find_base(plan: Plan, connection: Connection | None, choice: str) -> Base | None:
    """The base image that the Engine has for the plan; None if it has none, or no Engine answers."""
    return find_base_image(connection, f"{plan.base.reference}@{plan.base.digest}", choice) if connection else None


def resolve(
    plan: Plan,
    found: ArtifactsByModel,
    layers: LayerStore,
    connection: Connection | None,
    base: Base | None,
    lost: Collection[str] = (),
) -> Resolution:
    """Look up everything that a build of the plan can reuse. ``found`` are the artifacts by model, ``lost`` the digests of
    layers whose bytes are gone: their records do not count."""
    fit = check_fit(plan, found, layers, base)
    whole = with_artifacts(plan, fit.artifacts)
    on_record = {layer.name: known_records(whole, layer, layers, base) for layer in whole.layers}
    gone = frozenset(
        name for name, records in on_record.items() if any(record.digest in lost for record in records or ())
    )
    return Resolution(
        plan=whole,
        base=base,
        records={name: None if name in gone else records for name, records in on_record.items()},
        compression=layers.compression,
        engine=connection is not None,
        base_layers_known=base is not None and has_base_layers(base, layers, lost),
        stored_keys=frozenset(_known_keys(whole, layers, base)) if base else frozenset(),
        engine_images=frozenset(_known_images(whole, connection, base)) if connection and base else frozenset(),
        missing={model.name: find_missing(model.files, layers.store) for model in plan.models},
        system_missing=len(_missing_packages(plan, layers)),
        undecided_artifacts=fit.undecided,
        left_out=fit.left_out,
        lost=gone,
    )


def check_fit(plan: Plan, found: ArtifactsByModel, layers: LayerStore, base: Base | None) -> Fit:
    """Compare artifacts with the graphs. If a layer of the graphs with all of them is on record, they were compared when it
    was built. If the graphs are not compiled yet, the artifacts are undecided."""
    whole = with_artifacts(plan, found)
    graphs = next(layer for layer in whole.layers if layer.kind is LayerKind.GRAPHS)
    if not whole.all_artifacts or known_records(whole, graphs, layers, base) is not None:
        return Fit(found)
    undecided: set[str] = set()
    left_out: list[LeftOut] = []
    for model in whole.models:
        files = layers.known_files(compiled_key(model, base)) if base else None
        if files is None:
            undecided.update(artifact.key for artifact in model.artifacts)
        else:
            left_out += stale_artifacts(files, model.artifacts, layers)
    keys = {one.artifact.key for one in left_out}
    kept = {name: [artifact for artifact in found[name] if artifact.key not in keys] for name in found}
    return Fit(kept, frozenset(undecided), tuple(left_out))


def stale_artifacts(
    compiled: Sequence[FileRecord], artifacts: Sequence[ArtifactFile], layers: LayerStore
) -> Iterator[LeftOut]:
    """The artifacts that were compiled from another graph, weight or precision than those of the components in this
    manifest."""
    record = next(file for file in compiled if file.path == MODELS_MANIFEST)
    components = json.loads(layers.store.place(record.sha256).read_bytes())["components"]
    for artifact in artifacts:
        if names := find_stale_inputs(artifact, components):
            yield LeftOut(artifact, tuple(names))


def with_produced(resolution: Resolution, produced: LayerRecords) -> Resolution:
    """The resolution, with the records of layers that were built since."""
    made = {layer.name: produced.get(layer.name) for layer in resolution.plan.layers}
    records = {**resolution.records, **{name: records for name, records in made.items() if records is not None}}
    return replace(resolution, records=records)


def _known_keys(plan: Plan, layers: LayerStore, base: Base) -> Iterator[str]:
    keys = {key for model in plan.models for key in (exported_key(model, base), compiled_key(model, base))}
    keys |= {graphs_key(model, base) for model in plan.models if model.artifacts}
    keys |= {joined_key(plan, base)} if plan.members else set()
    return (key for key in keys if layers.known_files(key) is not None)


def _known_images(plan: Plan, connection: Connection, base: Base) -> Iterator[str]:
    images = [image(model, base) for model in (plan, *plan.models) for image in (export_image, artifact_image)]
    return (tag for tag in sorted({image.tag for image in images}) if has_image(connection, tag))


def _missing_packages(plan: Plan, layers: LayerStore) -> list[str]:
    systems = [model.system for model in (plan, *plan.models)]
    packages = {file.sha256: file for system in systems for entries in system.packages.values() for file in entries}
    return [sha256 for sha256, file in packages.items() if layers.store.get(sha256, file.size) is None]
