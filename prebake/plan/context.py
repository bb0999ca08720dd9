"""The files of a build's context but for what is rendered from templates and the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prebake.plan.runtime import package_locks, runtime_of
from prebake.plan.values import ContextFile
from prebake.spec.image import ImageSpec, Target
from prebake.spec.project import Project, SourceFile

EXPORT_LOCKS = ("export", "torch-cpu", "torch-cuda")
"""The requirements locks of the export packages."""


SCRIPTS = ("slim.py", "wheels.py")
"""What the stage of the image's packages runs."""


def stage_scripts(project: Project) -> list[ContextFile]:
    """The scripts as files of the context."""
    return [ContextFile(name, project.templates[name].encode()) for name in SCRIPTS]


def compiler_locks(spec: ImageSpec, target: Target) -> tuple[str, ...]:
    """Those of what compiles for a target where torch serves it: on a GPU the torch that serves, and what its libraries are
    compiled with."""
    if runtime_of(spec, target) != "torch":
        return ()
    return EXPORT_LOCKS if target == "cpu" else ("export", *package_locks(spec, target)[1:], "cuda-headers")


def context_of(
    project: Project, code: Iterable[SourceFile], app: Iterable[SourceFile], settings: bytes, target: Target
) -> tuple[ContextFile, ...]:
    """``code`` is what the stages run, ``app`` what is served; both with their paths in the context."""
    files = [ContextFile(file.path, file.data) for file in (*code, *app)]
    files.append(ContextFile("bake/settings.json", settings))
    for name in dict.fromkeys(
        (*package_locks(project.spec, target), *EXPORT_LOCKS, *compiler_locks(project.spec, target))
    ):
        files.append(ContextFile(f"requirements/{name}.txt", project.requirements[name].encode()))
    files += stage_scripts(project)
    if project.naive:
        files += _naive(project)
    return tuple(sorted(files, key=lambda file: file.path))


def _naive(project: Project) -> Iterator[ContextFile]:
    yield ContextFile("naive/serve.py", project.templates["naive/serve.py"].encode())
    for file in prefixed("naive/", unique((*project.entrypoints, *project.serve, *project.export, *project.naive))):
        yield ContextFile(file.path, file.data)


def unique(files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple({file.path: file for file in files}.values())


def prefixed(prefix: str, files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(prefix + file.path, file.data) for file in files)
