"""Make the Plan: from a project and what was asked for, to what will be done."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from prebake.errors import LicenceRequired, LockMismatch, Problem, SpecInvalid
from prebake.plan.agreement import pinned_checkpoint
from prebake.plan.context import context_of, prefixed, unique
from prebake.plan.joining import join_plans
from prebake.plan.keys import Inputs, compiler_key, stage_keys
from prebake.plan.layers import assign_layers
from prebake.plan.runtime import (
    baked_code,
    files_for,
    package_locks,
    runtime_of,
    served_code,
    serving_requirements,
    spec_for,
)
from prebake.plan.settings import make_settings
from prebake.plan.values import Options, Plan, converted_bytes, is_whole, weight_folders
from prebake.spec.image import ImageSpec, Licence, Target
from prebake.spec.licences import LicenceInvalid, canonical_licence
from prebake.spec.lock import RELOCK, LockedFile
from prebake.spec.members import RUNTIME, pinned_version
from prebake.spec.project import Project


def make_plan(project: Project, options: Options) -> Plan:
    """Raises SpecInvalid or LockMismatch where no plan can be made."""
    return _plan_several(project, options) if project.members else _plan_one(project, options)


def _plan_several(project: Project, options: Options) -> Plan:
    """Every model's plan is what it is alone, so that what was made for it alone is known here, and the other way round."""
    _check_target(project, options.target, (options.target,))
    if options.checkpoint is not None:
        where = f"images/{project.spec.name}/image.yaml"
        raise SpecInvalid(
            f"--checkpoint {options.checkpoint} is one model's to choose, and this image has several:",
            [Problem(f"{where} models", ", ".join(project.members))],
            next_action=f"choose in {where}, as in `models: {{NAME: {{checkpoint: {options.checkpoint}}}}}`",
        )
    chosen = project.spec.models
    plans = [
        make_plan(each, Options(options.target, chosen[name].checkpoint)) for name, each in project.members.items()
    ]
    return join_plans(project, options, plans)


def _plan_one(project: Project, options: Options) -> Plan:
    spec, lock = spec_for(project.spec, options.target), project.lock
    if lock is None:
        raise LockMismatch("Nothing is pinned yet:", [], next_action=RELOCK.format(name=spec.name))
    _check_target(project, options.target, (*package_locks(spec, options.target), "export"))
    checkpoint = options.checkpoint or spec.checkpoint
    pinned = pinned_checkpoint(spec, lock, checkpoint)
    files = tuple(sorted(files_for(spec, options.target, pinned.files), key=lambda file: file.path))
    _check_sizes(spec, files)
    settings = make_settings(project, options.target, checkpoint, files)
    code = prefixed("bake/", unique((*project.bake, *baked_code(project, options.target))))
    app = prefixed("app/", (*project.entrypoints, *served_code(project, options.target), *project.notices))
    keys = stage_keys(project, lock.base, options.target, Inputs(settings, code, files), lock.system)
    layers = assign_layers(spec, files, keys, app, serving_requirements(project, options.target), pinned.layers)
    return Plan(
        spec=spec,
        target=options.target,
        checkpoint=checkpoint,
        tag=options.tag or f"prebake/{spec.name}:{options.target}-{checkpoint}",
        base=lock.base,
        files=files,
        layers=layers,
        export_packages=keys["export packages"],
        export_key=keys["export"],
        compile_key=keys["compile"],
        context=context_of(project, code, app, settings.to_json(), options.target, lock.system),
        naive=bool(project.naive),
        room=_room(spec, files),
        compiler_packages=compiler_key(project, lock.base, options.target, lock.system),
        metadata=options.metadata,
        system=lock.system,
    )


def check_licence(plan: Plan, accepted: Collection[str]) -> None:
    """Raises LicenceRequired if a checkpoint's terms ask for acceptance and it was not given by their identifier, or if an
    accepted identifier is none."""
    if asking := _asking(plan, accepted):
        what = (f"Checkpoint {each.checkpoint!r} of {each.name} is under {_licence(each).id}" for each in asking)
        texts = dict.fromkeys(f"images/{each.name}/{_licence(each).text}" for each in asking)
        flags = dict.fromkeys(f"--accept-licence {_licence(each).id}" for each in asking)
        raise LicenceRequired(
            f"{', '.join(what)}, which asks to be accepted.",
            next_action=f"read {' and '.join(texts)}, then add `{' '.join(flags)}`",
        )


def unaccepted_licences(plan: Plan, accepted: Collection[str]) -> list[str]:
    """The identifiers of the terms that ask for acceptance, without those that were accepted."""
    return list(dict.fromkeys(_licence(each).id for each in _asking(plan, accepted)))


def _asking(plan: Plan, accepted: Collection[str]) -> list[Plan]:
    known = _spelled(accepted)
    return [each for each in plan.models if _licence(each).acceptance and _licence(each).id not in known]


def _spelled(accepted: Collection[str]) -> frozenset[str]:
    """In SPDX's spelling, whose letters' case makes no difference."""
    try:
        return frozenset(map(canonical_licence, accepted))
    except LicenceInvalid as error:
        raise LicenceRequired(
            f"A licence is accepted that is none: {error}.",
            next_action="correct --accept-licence or PREBAKE_ACCEPT_LICENCE (identifiers, a comma between them)",
        ) from error


def _licence(plan: Plan) -> Licence:
    return plan.spec.checkpoints[plan.checkpoint].licence


def _check_target(project: Project, target: Target, locks: Sequence[str]) -> None:
    """``locks``: of the packages that are needed."""
    spec, problems = project.spec, []
    where = f"images/{spec.name}/image.yaml targets"
    if target not in spec.targets:
        problems.append(Problem(where, f"does not name {target!r}", f"it names: {', '.join(spec.targets)}"))
    for name in locks:
        if name not in project.requirements:
            problems.append(Problem(f"images/{spec.name}/requirements/{name}.txt", "is missing"))
    if not problems and "export" in locks and runtime_of(spec, target) == "onnxruntime":
        serve, export = (pinned_version(project.requirements[name], RUNTIME) for name in (target, "export"))
        if serve != export:
            problems.append(Problem(where, f"graphs are made with ONNX Runtime {export} and served with {serve}"))
    if problems:
        raise SpecInvalid(
            "This target cannot be built:",
            problems,
            next_action="correct the files named, `make requirements` locks them",
        )


def _check_sizes(spec: ImageSpec, files: tuple[LockedFile, ...]) -> None:
    """Raises SpecInvalid for a file that no registry would take and nobody knows to cut."""
    too_large = [file for file in files if file.ship and not is_whole(file)]
    problems = [
        Problem(
            f"images/{spec.name}/image.yaml ship", f"{file.path} has {file.size} bytes, and is no component's weights"
        )
        for file in too_large
        if file.path.rpartition("/")[0] not in weight_folders(spec) or not file.path.endswith(".safetensors")
    ]
    if problems:
        raise SpecInvalid(
            "Registries refuse layers above 10 GB, and only safetensors in a component's folder"
            f" ({', '.join(weight_folders(spec))}) can be shipped in parts:",
            problems,
            next_action="do not ship the file as published: have export.py convert it",
        )


def _room(spec: ImageSpec, files: tuple[LockedFile, ...]) -> dict[str, int]:
    """Bytes needed at most: the store holds every file once, and what is converted; the Engine holds what ships and what was
    converted as content and as snapshot, beside the packages."""
    every, converted = sum(file.size for file in files), converted_bytes(spec, files)
    return {"store": every + converted, "engine": 4 * 2**30 + 2 * (every + converted)}
