"""Make the Plan: from a project and what was asked for, to what will be done."""

from __future__ import annotations

from prebake.errors import LicenceRequired, LockMismatch, Problem, SpecInvalid
from prebake.plan.agreement import pinned_checkpoint
from prebake.plan.layers import assign_layers, sources_digest
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
from prebake.plan.values import (
    ContextFile,
    Options,
    Plan,
    converted_bytes,
    digest,
    is_whole,
    read_as_published,
    weight_folders,
)
from prebake.spec.image import ImageSpec
from prebake.spec.lock import RELOCK, LockedFile
from prebake.spec.project import Project, SourceFile


def make_plan(project: Project, options: Options) -> Plan:
    """Raises SpecInvalid or LockMismatch where no plan can be made."""
    spec, lock = spec_for(project.spec, options.target), project.lock
    if lock is None:
        raise LockMismatch("Nothing is pinned yet:", [], next_action=RELOCK.format(name=spec.name))
    _check_target(project, options)
    checkpoint = options.checkpoint or spec.checkpoint
    pinned = pinned_checkpoint(spec, lock, checkpoint)
    files = read_as_published(spec, sorted(files_for(spec, options.target, pinned.files), key=lambda file: file.path))
    _check_sizes(spec, files)
    settings = make_settings(project, options.target, checkpoint, files)
    code = _prefixed("bake/", _unique((*project.bake, *baked_code(project, options.target))))
    app = _prefixed("app/", (*project.entrypoints, *served_code(project, options.target), *project.notices))
    keys = _keys(project, options, settings.to_json(), code)
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
        context=_context(project, code, app, settings.to_json(), options),
        naive=bool(project.naive),
        room=_room(spec, files),
    )


def check_licence(plan: Plan, accepted: str | None) -> None:
    """Raises LicenceRequired where the checkpoint's terms ask for acceptance and it was not given by their identifier."""
    licence = plan.spec.checkpoints[plan.checkpoint].licence
    if licence.acceptance and accepted != licence.id:
        raise LicenceRequired(
            f"Checkpoint {plan.checkpoint!r} of {plan.name} is under {licence.id}, which asks to be accepted.",
            next_action=f"read images/{plan.name}/{licence.text}, then add `--accept-licence {licence.id}`",
        )


def _check_target(project: Project, options: Options) -> None:
    spec = project.spec
    problems = []
    where = f"images/{spec.name}/image.yaml targets"
    if options.target not in spec.targets:
        problems.append(Problem(where, f"does not name {options.target!r}", f"it names: {', '.join(spec.targets)}"))
    for name in (*package_locks(spec, options.target), "export"):
        if name not in project.requirements:
            problems.append(Problem(f"images/{spec.name}/requirements/{name}.txt", "is missing"))
    if not problems and runtime_of(spec, options.target) == "onnxruntime":
        serve, export = (_pin(project.requirements[name], "onnxruntime") for name in (options.target, "export"))
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


def _pin(requirements: str, package: str) -> str | None:
    """The version that a requirements lock pins; onnxruntime-gpu counts as onnxruntime."""
    for line in requirements.splitlines():
        name, found, version = line.partition("==")
        if found and name in (package, f"{package}-gpu"):
            return version.split()[0]
    return None


def _unique(files: tuple[SourceFile, ...]) -> tuple[SourceFile, ...]:
    return tuple({file.path: file for file in files}.values())


def _prefixed(prefix: str, files: tuple[SourceFile, ...]) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(prefix + file.path, file.data) for file in files)


def _keys(project: Project, options: Options, settings: bytes, code: tuple[SourceFile, ...]) -> dict[str, str]:
    """The keys that say when work has to be done again: of the export stage, and of the compile stage on top of it."""
    base = digest([project.spec.base, project.lock.base.digest if project.lock else ""])
    packages = digest(
        {
            "base": base,
            "requirements": [project.requirements[name] for name in ("export", "torch-cpu", "torch-cuda")],
            "stage": _stages(project, "base", "pip", "export_packages"),
        }
    )
    export = digest(
        {
            "code": sources_digest(code),
            "packages": packages,
            "stage": _stages(project, "export"),
            "settings": settings.decode(),
            "files": {
                file.path: file.sha256
                for file in project.lock.checkpoints[options.checkpoint or project.spec.checkpoint].files
            }
            if project.lock
            else {},
        }
    )
    stage = _stages(project, "compile")
    return {
        "base": base,
        "packages": digest(
            [_stages(project, "base", "pip", "runtime", "settle"), project.templates["slim.py"]],
        ),
        "code": digest(_stages(project, "image", "settle")),
        "export packages": packages,
        "export": export,
        "compile": digest({"export": export, "target": options.target, "stage": stage}),
    }


def _stages(project: Project, *names: str) -> list[str]:
    """The text of stages: part of the key of what they make."""
    return [project.templates[f"stages/{name}.j2"] for name in names]


def _context(
    project: Project, code: tuple[SourceFile, ...], app: tuple[SourceFile, ...], settings: bytes, options: Options
) -> tuple[ContextFile, ...]:
    """The context's files but for what is rendered from templates and the weights."""
    files = [ContextFile(file.path, file.data) for file in (*code, *app)]
    files.append(ContextFile("bake/settings.json", settings))
    for name in dict.fromkeys((*package_locks(project.spec, options.target), "export", "torch-cpu", "torch-cuda")):
        files.append(ContextFile(f"requirements/{name}.txt", project.requirements[name].encode()))
    files.append(ContextFile("slim.py", project.templates["slim.py"].encode()))
    if project.naive:
        server = SourceFile("naive/serve.py", project.templates["naive/serve.py"].encode())
        model = _prefixed("naive/", _unique((*project.entrypoints, *project.serve, *project.export, *project.naive)))
        files += [ContextFile(file.path, file.data) for file in (server, *model)]
    return tuple(sorted(files, key=lambda file: file.path))


def _room(spec: ImageSpec, files: tuple[LockedFile, ...]) -> dict[str, int]:
    """Bytes needed at most: the store holds every file once, and what is converted; the Engine holds what ships and what was
    converted as content and as snapshot, beside the packages."""
    every, converted = sum(file.size for file in files), converted_bytes(spec, files)
    return {"store": every + converted, "engine": 4 * 2**30 + 2 * (every + converted)}
