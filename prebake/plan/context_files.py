"""The files of a build's context, without rendered templates and weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prebake.plan.runtime import package_locks, runtime_of
from prebake.plan.values import ContextFile
from prebake.spec.image.image import ImageSpec, Target
from prebake.spec.image.system_packages import LockedSystem
from prebake.spec.project import Project
from prebake.spec.source_file import SourceFile

EXPORT_LOCKS = ("export", "torch-cpu", "torch-cuda")
"""The requirements locks of the export packages."""


UNPACK = "system/unpack.py"


def compiler_locks(spec: ImageSpec, target: Target) -> tuple[str, ...]:
    """The requirements locks of the compiler packages, if torch serves the target. On a GPU these are the serving torch and
    the CUDA headers."""
    if runtime_of(spec, target) != "torch":
        return ()
    return EXPORT_LOCKS if target == "cpu" else ("export", *package_locks(spec, target)[1:], "cuda-headers")


def make_context(
    project: Project,
    code: Iterable[SourceFile],
    app: Iterable[SourceFile],
    settings: bytes,
    target: Target,
    system: LockedSystem,
) -> tuple[ContextFile, ...]:
    """``code`` are the files that the stages run, ``app`` those that the image serves, both by their paths in the context."""
    files = [ContextFile(file.path, file.data) for file in (*code, *app)]
    files.append(ContextFile("bake/settings.json", settings))
    for name in dict.fromkeys(
        (*package_locks(project.spec, target), *EXPORT_LOCKS, *compiler_locks(project.spec, target))
    ):
        files.append(ContextFile(f"requirements/{name}.txt", project.requirements[name].encode()))
    files += [*cleanup_files(project), *system_files(project, system)]
    if project.naive:
        files += _naive(project)
    return tuple(sorted(files, key=lambda file: file.path))


def cleanup_files(project: Project) -> list[ContextFile]:
    """The programs that clean what pip installed."""
    return [ContextFile(name, text.encode()) for name, text in project.templates.items() if name.startswith("cleanup/")]


def system_files(project: Project, system: LockedSystem) -> list[ContextFile]:
    """System packages by sha256, and the program that unpacks them; empty if the image names none."""
    if not system.names:
        return []
    packages = [
        ContextFile(package.file(architecture), sha256=package.sha256)
        for architecture, entries in system.packages.items()
        for package in entries
    ]
    return [ContextFile(UNPACK, project.templates[UNPACK].encode()), *packages]


def _naive(project: Project) -> Iterator[ContextFile]:
    yield ContextFile("naive/serve.py", project.templates["naive/serve.py"].encode())
    for file in prefixed("naive/", unique((*project.entrypoints, *project.serve, *project.export, *project.naive))):
        yield ContextFile(file.path, file.data)


def unique(files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple({file.path: file for file in files}.values())


def prefixed(prefix: str, files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(prefix + file.path, file.data) for file in files)
