"""What a change would touch: the plan is made again with that change in it, and the keys are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from prebake.plan.compiled import Found, lookup_key, with_artifacts
from prebake.plan.making import make_plan
from prebake.plan.runtime import package_locks
from prebake.plan.values import ON_ANY_BASE, Layer, Options, Plan
from prebake.spec.project import Project, SourceFile

Change = Callable[[Project, Options], Project]


def layers_touched(project: Project, options: Options, found: Found) -> Mapping[str, tuple[str, ...]]:
    """For each kind of change, the names of the layers that it has made again, in the order of the image. ``found`` is what is
    compiled for machines by now: of that, what would not be found any more."""
    before = with_artifacts(make_plan(project, options), found)
    touched = {}
    for name, change in CHANGES.items():
        after = make_plan(change(project, options), options)
        touched[name] = tuple(layer.name for layer in _differing(before, with_artifacts(after, _still(before, after))))
    above = tuple(layer.name for layer in before.layers if layer.kind not in ON_ANY_BASE)
    return {**touched, "base": above}  # every layer that is made on a base is made on another one anew


def _still(before: Plan, after: Plan) -> Found:
    """What a build after the change finds compiled of what one before it found."""
    models = zip(before.models, after.models, strict=True)
    return {new.name: old.artifacts for old, new in models if lookup_key(old) == lookup_key(new)}


def _differing(before: Plan, after: Plan) -> list[Layer]:
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


def _touched(files: tuple[SourceFile, ...]) -> tuple[SourceFile, ...]:
    """The first of these files with a line more."""
    return tuple(SourceFile(file.path, file.data + b"\n") if n == 0 else file for n, file in enumerate(files))


def _in_each(change: Change) -> Change:
    """Of several models: the change in every one of them."""

    def changed(project: Project, options: Options) -> Project:
        chosen = {name: Options(options.target, model.checkpoint) for name, model in project.spec.models.items()}
        members = {name: change(member, chosen[name]) for name, member in project.members.items()}
        return replace(project, members=members) if members else change(project, options)

    return changed


CHANGES: Mapping[str, Change] = {
    "code": _code,
    "model.py": _in_each(_model),
    "export.py": _in_each(_exporter),
    "dependencies": _dependencies,
    "weights": _in_each(_weights),
}
