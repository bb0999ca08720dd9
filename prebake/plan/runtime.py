"""What opens a target's components, and what follows from it: packages, code, and the files that the image holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from prebake.plan.values import weight_folders
from prebake.spec.component import Component
from prebake.spec.image import ImageSpec, Runtime, Target
from prebake.spec.lock import LockedFile
from prebake.spec.precision import Bf16
from prebake.spec.project import Project, SourceFile


def runtime_of(spec: ImageSpec, target: Target) -> Runtime:
    return spec.runtime.get(target, "onnxruntime")


def package_locks(spec: ImageSpec, target: Target) -> tuple[str, ...]:
    """The requirements locks that a target's packages are installed from. Torch stands apart from what needs it: pip would
    always take the index's own build of it otherwise."""
    if runtime_of(spec, target) == "onnxruntime":
        return (target,)
    return f"{target}-torch", "torch-cpu" if target == "cpu" else "torch-cuda"


def serving_requirements(project: Project, target: Target) -> str:
    """The text of a target's locks, one after the other."""
    return "".join(project.requirements[name] for name in package_locks(project.spec, target))


def served_code(project: Project, target: Target) -> tuple[SourceFile, ...]:
    own = project.torch if runtime_of(project.spec, target) == "torch" else ()
    return tuple({file.path: file for file in (*project.serve, *own)}.values())


def baked_code(project: Project, target: Target) -> tuple[SourceFile, ...]:
    """The image's own code in the stages. Where torch serves they load what is served, too."""
    own = served_code(project, target) if runtime_of(project.spec, target) == "torch" else ()
    return tuple({file.path: file for file in (*project.export, *own)}.values())


def spec_for(spec: ImageSpec, target: Target) -> ImageSpec:
    """The spec as a target has it: torch reads every component's weights as they are published, and computes on a GPU in
    bfloat16 where the component names no precision."""
    if runtime_of(spec, target) == "onnxruntime":
        return spec
    return spec.model_copy(
        update={"components": {name: _for_torch(each, target) for name, each in spec.components.items()}}
    )


def _for_torch(component: Component, target: Target) -> Component:
    unsaid = target != "cpu" and "precision" not in component.model_fields_set
    precision = Bf16(type="bf16") if unsaid else component.precision
    return component.model_copy(
        update={
            "derived": False,
            "onnx": None,
            "torch": None,
            "inputs": {},
            "precision": precision,
            "buckets": (),
            "pad": {},
        }
    )


def files_for(spec: ImageSpec, target: Target, files: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
    """A checkpoint's files as a target ships them: for torch, configuration and weights of every component; otherwise what
    ``ship`` lists, but for weights that the export stage makes others of."""
    if runtime_of(spec, target) == "onnxruntime":
        return _read_as_published(spec, files)
    folders = weight_folders(spec)

    def needed(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return folder in folders and (name == "config.json" or name.endswith(".safetensors"))

    return tuple(replace(file, ship=file.ship or needed(file.path)) for file in files)


def _read_as_published(spec: ImageSpec, files: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
    """The files, those weights not shipped that no component reads any more: all of their folder have derived ones."""
    kept = {each.folder or name for name, each in spec.components.items() if not each.makes_weights}
    reduced = {each.folder or name for name, each in spec.components.items() if each.makes_weights} - kept
    return tuple(replace(file, ship=file.ship and not _is_weight_of(reduced, file)) for file in files)


def _is_weight_of(folders: Collection[str], file: LockedFile) -> bool:
    folder, _, name = file.path.rpartition("/")
    return folder in folders and name.endswith((".safetensors", ".safetensors.index.json"))
