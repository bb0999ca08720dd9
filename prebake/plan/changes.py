"""Which layers a change invalidates: plan again with the change, and compare the layers' keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prebake.plan.artifact_layers import ArtifactsByModel, lookup_key, with_artifacts
from prebake.plan.planner import make_plan
from prebake.plan.runtime import package_locks
from prebake.plan.values import Options, Plan, PlannedLayer
from prebake.spec.image.component import ComponentSpec
from prebake.spec.image.precision import Fp16, Fp32
from prebake.spec.project import Project
from prebake.spec.source_file import SourceFile

Change = Callable[[Project, Options], Project]


def changed_layers(project: Project, options: Options, found: ArtifactsByModel) -> Mapping[str, tuple[str, ...]]:
    """The names of the layers that each kind of change invalidates, in the order of the image. ``found`` are the artifacts
    by model; an invalidated artifact is one that a build after the change would not find."""
    before = with_artifacts(make_plan(project, options), found)
    touched = {}
    for name, change in CHANGES.items():
        after = make_plan(change(project, options), options)
        touched[name] = tuple(layer.name for layer in _differing(before, with_artifacts(after, _still(before, after))))
    above = tuple(layer.name for layer in before.layers if not layer.kind.on_any_base)
    return {**touched, "base": above}  # a layer that is built on the base image is built again on another one


def _still(before: Plan, after: Plan) -> ArtifactsByModel:
    """The artifacts that a build after the change still finds."""
    models = zip(before.models, after.models, strict=True)
    return {new.name: old.artifacts for old, new in models if lookup_key(old) == lookup_key(new)}


def _differing(before: Plan, after: Plan) -> list[PlannedLayer]:
    keys = {layer.name: layer.key for layer in after.layers}
    return [layer for layer in before.layers if keys.get(layer.name) != layer.key]


def _code(project: Project, _options: Options) -> Project:
    return replace(project, entrypoints=_touched(project.entrypoints))


def _model(project: Project, _options: Options) -> Project:
    return replace(project, serve=_touched(project.serve))


def _exporter(project: Project, _options: Options) -> Project:
    return replace(project, export=_touched(project.export))


def _dependencies(project: Project, options: Options) -> Project:
    name = package_locks(project.spec, options.target)[0]
    text = project.requirements[name]
    return replace(project, requirements={**project.requirements, name: text + "# changed\n"})


def _weights(project: Project, options: Options) -> Project:
    """Another revision of the largest file."""
    if project.lock is None:
        return project
    name = options.checkpoint or project.spec.checkpoint
    checkpoint = project.lock.checkpoints[name]
    largest = max(checkpoint.files, key=lambda file: (file.ship, file.size))
    files = tuple(replace(file, sha256="0" * 64) if file is largest else file for file in checkpoint.files)
    changed = {**project.lock.checkpoints, name: replace(checkpoint, files=files, layers=())}
    return replace(project, lock=replace(project.lock, checkpoints=changed))


def _precision(project: Project, _options: Options) -> Project:
    """Another precision of the first component."""
    return _with_component(
        project, lambda own: {"precision": Fp16(type="fp16") if own.precision.type == "fp32" else Fp32()}
    )


def _buckets(project: Project, _options: Options) -> Project:
    """One more bucket of the first component."""
    return _with_component(project, lambda own: {"buckets": (*own.buckets, {"batch": 1})})


def _with_component(project: Project, change: Callable[[ComponentSpec], Mapping[str, Any]]) -> Project:
    """The project, with other fields of the first component in image.yaml."""
    if not project.spec.components:
        return project
    name, component = next(iter(project.spec.components.items()))
    changed = {**project.spec.components, name: component.model_copy(update=dict(change(component)))}
    return replace(project, spec=project.spec.model_copy(update={"components": changed}))


def _touched(files: tuple[SourceFile, ...]) -> tuple[SourceFile, ...]:
    """The files, with one more line in the first."""
    return tuple(SourceFile(file.path, file.data + b"\n") if n == 0 else file for n, file in enumerate(files))


def _in_each(change: Change) -> Change:
    """The change, applied to every model of an image of several."""

    def changed(project: Project, options: Options) -> Project:
        chosen = {name: Options(options.target, model.checkpoint) for name, model in project.spec.models.items()}
        members = {name: change(member, chosen[name]) for name, member in project.models.items()}
        return replace(project, models=members) if members else change(project, options)

    return changed


CHANGES: Mapping[str, Change] = {
    "code": _code,
    "model.py": _in_each(_model),
    "export.py": _in_each(_exporter),
    "dependencies": _dependencies,
    "weights": _in_each(_weights),
    "precision": _in_each(_precision),
    "buckets": _in_each(_buckets),
}
