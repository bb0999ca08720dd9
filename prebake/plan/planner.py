"""Make the Plan of a project with the options of the command line."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from prebake.errors import LicenseRequired, LockMismatch, Problem, SpecInvalid
from prebake.plan.context_files import make_context, prefixed, unique
from prebake.plan.layers import assign_layers
from prebake.plan.lock_check import pinned_checkpoint
from prebake.plan.multi_model import join_plans
from prebake.plan.runtime import (
    baked_code,
    files_for,
    package_locks,
    runtime_of,
    served_code,
    serving_requirements,
    spec_for,
)
from prebake.plan.stage_keys import Inputs, compiler_key, stage_keys
from prebake.plan.stage_settings import make_settings
from prebake.plan.values import Options, Plan, converted_bytes, is_whole, weight_folders
from prebake.spec.checks.multi_model_rules import RUNTIME_PACKAGE, pinned_version
from prebake.spec.image.image import ImageSpec, License, Target
from prebake.spec.image.licenses import LicenseInvalid, canonical_license
from prebake.spec.lock import RELOCK, LockedFile
from prebake.spec.project import Project


def make_plan(project: Project, options: Options) -> Plan:
    """Raises SpecInvalid or LockMismatch if no plan can be made."""
    return _plan_several(project, options) if project.models else _plan_one(project, options)


def _plan_several(project: Project, options: Options) -> Plan:
    """Each model's plan is that of its own image, so that both images share cached results."""
    _check_target(project, options.target, (options.target,))
    if options.checkpoint is not None:
        where = f"images/{project.spec.name}/image.yaml"
        raise SpecInvalid(
            f"--checkpoint {options.checkpoint} chooses the checkpoint of one model, and this image has several models:",
            [Problem(f"{where} models", ", ".join(project.models))],
            next_action=f"choose in {where}, as in `models: {{NAME: {{checkpoint: {options.checkpoint}}}}}`",
        )
    chosen = project.spec.models
    plans = [
        make_plan(member, Options(options.target, chosen[name].checkpoint)) for name, member in project.models.items()
    ]
    return join_plans(project, options, plans)


def _plan_one(project: Project, options: Options) -> Plan:
    spec, lock = spec_for(project.spec, options.target), project.lock
    if lock is None:
        raise LockMismatch("No checkpoint is pinned yet.", [], next_action=RELOCK.format(name=spec.name))
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
        tag=options.image_tag(spec),
        base=lock.base,
        files=files,
        layers=layers,
        export_packages=keys["export packages"],
        export_key=keys["export"],
        compile_key=keys["compile"],
        context=make_context(project, code, app, settings.to_json(), options.target, lock.system),
        naive=bool(project.naive),
        room=_room(spec, files),
        compiler_packages=compiler_key(project, lock.base, options.target, lock.system),
        metadata=options.metadata,
        system=lock.system,
    )


def check_license(plan: Plan, accepted: Collection[str]) -> None:
    """Raises LicenseRequired if a checkpoint's license must be accepted by its identifier and was not, or if an accepted
    identifier is invalid."""
    if asking := _asking(plan, accepted):
        what = (
            f"Checkpoint {model.checkpoint!r} of {model.name} has the license {_license(model).id}" for model in asking
        )
        texts = dict.fromkeys(f"images/{model.name}/{_license(model).text}" for model in asking)
        flags = dict.fromkeys(f"--accept-license {_license(model).id}" for model in asking)
        raise LicenseRequired(
            f"{', '.join(what)}, which you have to accept.",
            next_action=f"read {' and '.join(texts)}, then add `{' '.join(flags)}`",
        )


def unaccepted_licenses(plan: Plan, accepted: Collection[str]) -> list[str]:
    """The identifiers of licenses that still have to be accepted."""
    return list(dict.fromkeys(_license(model).id for model in _asking(plan, accepted)))


def _asking(plan: Plan, accepted: Collection[str]) -> list[Plan]:
    known = _spelled(accepted)
    return [model for model in plan.models if _license(model).requires_acceptance and _license(model).id not in known]


def _spelled(accepted: Collection[str]) -> frozenset[str]:
    """The identifiers in SPDX's spelling; case is ignored."""
    try:
        return frozenset(map(canonical_license, accepted))
    except LicenseInvalid as error:
        raise LicenseRequired(
            f"An accepted license is not an SPDX expression: {error}.",
            next_action="correct --accept-license or PREBAKE_ACCEPT_LICENSE (identifiers, separated by commas)",
        ) from error


def _license(plan: Plan) -> License:
    return plan.spec.checkpoints[plan.checkpoint].license


def _check_target(project: Project, target: Target, locks: Sequence[str]) -> None:
    """``locks`` are the names of the requirements locks that the target needs."""
    spec, problems = project.spec, []
    where = f"images/{spec.name}/image.yaml targets"
    if target not in spec.targets:
        problems.append(Problem(where, f"does not list {target!r}", f"it lists: {', '.join(spec.targets)}"))
    for name in locks:
        if name not in project.requirements:
            problems.append(Problem(f"images/{spec.name}/requirements/{name}.txt", "is missing"))
    if not problems and "export" in locks and runtime_of(spec, target) == "onnxruntime":
        serve, export = (pinned_version(project.requirements[name], RUNTIME_PACKAGE) for name in (target, "export"))
        if serve != export:
            problems.append(
                Problem(where, f"the export packages have ONNX Runtime {export}, the served packages {serve}")
            )
    if problems:
        raise SpecInvalid(
            "This target cannot be built:",
            problems,
            next_action="correct these files; `make requirements` writes the requirements locks",
        )


def _check_sizes(spec: ImageSpec, files: tuple[LockedFile, ...]) -> None:
    """Raises SpecInvalid for a file that is too large for a layer and cannot be split."""
    too_large = [file for file in files if file.ship and not is_whole(file)]
    problems = [
        Problem(
            f"images/{spec.name}/image.yaml ship",
            f"{file.path} has {file.size} bytes, and is not a weight file of a component",
        )
        for file in too_large
        if file.path.rpartition("/")[0] not in weight_folders(spec) or not file.path.endswith(".safetensors")
    ]
    if problems:
        raise SpecInvalid(
            "Registries refuse layers above 10 GB, and only safetensors in a component's folder"
            f" ({', '.join(weight_folders(spec))}) can be split:",
            problems,
            next_action="do not ship the file as published: have export.py convert it",
        )


def _room(spec: ImageSpec, files: tuple[LockedFile, ...]) -> dict[str, int]:
    """The largest number of bytes that a build needs. The store holds every file and the converted ones. The Engine holds
    shipped and converted files twice, as content and as snapshot, and the packages."""
    every, converted = sum(file.size for file in files), converted_bytes(spec, files)
    return {"store": every + converted, "engine": 4 * 2**30 + 2 * (every + converted)}
