"""The runtime that opens a target's components (ONNX Runtime or torch), and what depends on it: packages, code, shipped
files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from prebake.plan.values import weight_folders
from prebake.spec.image.component import ComponentSpec
from prebake.spec.image.image import ImageSpec, Runtime, Target
from prebake.spec.image.precision import Bf16
from prebake.spec.lock import LockedFile
from prebake.spec.project import Project
from prebake.spec.source_file import SourceFile


def runtime_of(spec: ImageSpec, target: Target) -> Runtime:
    return spec.runtime.get(target, "onnxruntime")


def package_locks(spec: ImageSpec, target: Target) -> tuple[str, ...]:
    """The requirements locks that a target's packages are installed from. Torch has a lock of its own: otherwise pip would
    always install the index's own build of it."""
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
    """The image's own code that the stages run. If torch serves, the stages load the served code too."""
    own = served_code(project, target) if runtime_of(project.spec, target) == "torch" else ()
    return tuple({file.path: file for file in (*project.export, *own)}.values())


def spec_for(spec: ImageSpec, target: Target) -> ImageSpec:
    """The spec for one target. If torch serves, it reads weights as published, and on a GPU it computes in bfloat16 unless
    the component sets a precision."""
    if runtime_of(spec, target) == "onnxruntime":
        return spec
    return spec.model_copy(
        update={"components": {name: _for_torch(component, target) for name, component in spec.components.items()}}
    )


def _for_torch(component: ComponentSpec, target: Target) -> ComponentSpec:
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
    """A checkpoint's files with the target's ``ship``. For torch: configuration and weights of every component. Otherwise:
    the files that ``ship`` lists, without weights that the export stage replaces."""
    if runtime_of(spec, target) == "onnxruntime":
        return _read_as_published(spec, files)
    folders = weight_folders(spec)

    def needed(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return folder in folders and (name == "config.json" or name.endswith(".safetensors"))

    return tuple(replace(file, ship=file.ship or needed(file.path)) for file in files)


def _read_as_published(spec: ImageSpec, files: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
    """Do not ship weights that no component reads: every component of their folder has derived weights."""
    kept = {component.folder or name for name, component in spec.components.items() if not component.makes_weights}
    reduced = {
        component.folder or name for name, component in spec.components.items() if component.makes_weights
    } - kept
    return tuple(replace(file, ship=file.ship and not _is_weight_of(reduced, file)) for file in files)


def _is_weight_of(folders: Collection[str], file: LockedFile) -> bool:
    folder, _, name = file.path.rpartition("/")
    return folder in folders and name.endswith((".safetensors", ".safetensors.index.json"))
