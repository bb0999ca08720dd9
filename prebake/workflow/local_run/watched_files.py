"""The files that ``prebake run --watch`` looks at, and what each of them decides when it changes.

They are polled: an image has a few dozen, whose times cost less than a millisecond to read, and polling also sees changes on
network file systems and in the folders that a virtual machine shares, of which the kernel tells nobody.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prebake.plan.runtime import runtime_of
from prebake.spec.image.image import Target
from prebake.spec.image.sources import FromLocal
from prebake.spec.project import Project

POLL_SECONDS = 0.1
SETTLED_SECONDS = 0.1
"""Files are used once none has changed for this long: an editor writes more than once, or removes a file and renames another."""
SPEC_FILES = ("image.yaml", "weights.lock", "requirements/*.txt")

Stamp = tuple[int, int, int]
"""Modification time in nanoseconds, size, and inode: a file that is renamed over another may keep its time."""


@dataclass(frozen=True)
class WatchedModel:
    """``served`` and ``baked`` are globs below ``folder``: of the files that the container imports, and of those that a build
    alone reads. ``weights`` are files of the checkpoint on this machine."""

    name: str
    folder: Path
    served: tuple[str, ...] = ()
    baked: tuple[str, ...] = ()
    weights: tuple[Path, ...] = ()

    def served_files(self) -> Iterator[Path]:
        return _match(self.folder, self.served)


@dataclass(frozen=True)
class WatchedFiles:
    """``entrypoints`` is the folder of the container's own code; None if it is not mounted."""

    root: Path
    models: tuple[WatchedModel, ...]
    entrypoints: Path | None = None

    def stamps(self) -> dict[Path, Stamp]:
        """All files that there are now."""
        folders = [model.folder for model in self.models] + ([self.entrypoints] if self.entrypoints else [])
        weights = (path for model in self.models for path in model.weights)
        paths = (*(path for folder in folders for path in _walk(folder)), *weights)
        return {path: stamp for path in paths if (stamp := _stamp(path)) is not None}

    def served(self) -> dict[Path, str]:
        """The models' code, with the name of its model."""
        return {path: model.name for model in self.models for path in model.served_files()}

    def baked(self) -> set[Path]:
        """The files that a build alone reads."""
        found = (path for model in self.models for path in (*_match(model.folder, model.baked), *model.weights))
        return set(found)


@dataclass(frozen=True)
class Changes:
    """What follows from changed files: ``models`` to start again, by name with their files; ``container``: changed code of the
    server; ``build``: files that only a build reads; ``unlisted``: code that the image will not have. Paths in the project."""

    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    container: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.models or self.container or self.build or self.unlisted)


class Watcher:
    """Compares the files with those of the last time."""

    def __init__(self, files: WatchedFiles) -> None:
        self._files = files
        self._stamps = files.stamps()
        self._served, self._baked = files.served(), files.baked()

    def find_changes(self) -> Changes:
        """What changed since the last call, once the files have settled."""
        stamps = self._files.stamps()
        if stamps == self._stamps:
            return Changes()
        stamps = self._settle(stamps)
        changed = {path for path in stamps.keys() | self._stamps.keys() if stamps.get(path) != self._stamps.get(path)}
        served, baked = self._files.served(), self._files.baked()
        known = self._served | served, self._baked | baked  # a file that was removed matches no glob any more
        self._stamps, self._served, self._baked = stamps, served, baked
        return sort_changes(changed, *known, files=self._files)

    def _settle(self, stamps: dict[Path, Stamp]) -> dict[Path, Stamp]:
        while True:
            time.sleep(SETTLED_SECONDS)
            before, stamps = stamps, self._files.stamps()
            if stamps == before:
                return stamps


def sort_changes(
    changed: Iterable[Path], served: Mapping[Path, str], baked: Iterable[Path], *, files: WatchedFiles
) -> Changes:
    """A file that is both served and baked starts its model again: most such files are code that ``export.py`` shares."""
    models: dict[str, tuple[str, ...]] = {}
    container, build, unlisted = [], [], []
    baked = set(baked)
    for path in sorted(changed):
        name = os.path.relpath(path, files.root)
        if path in served:
            models[served[path]] = (*models.get(served[path], ()), name)
        elif files.entrypoints and path.is_relative_to(files.entrypoints):
            container += [name] if path.suffix == ".py" else []
        elif path in baked:
            build.append(name)
        elif path.suffix == ".py":
            unlisted.append(name)
    return Changes(models, tuple(container), tuple(build), tuple(unlisted))


def find_watched(project: Project, target: Target, entrypoints: Path | None) -> WatchedFiles:
    """The files of a project's image, or of all models of an image of several."""
    models = [_watch(model, target) for model in project.models.values() or (project,)]
    if project.models:  # the image itself has no code
        models.append(WatchedModel(project.spec.name, project.folder, baked=SPEC_FILES))
    return WatchedFiles(project.root, tuple(models), entrypoints)


def _watch(project: Project, target: Target) -> WatchedModel:
    spec = project.spec
    torch = spec.code.torch if runtime_of(spec, target) == "torch" else ()
    weights = [
        project.root / source.folder / file
        for checkpoint in spec.checkpoints.values()
        for source in checkpoint.sources
        if isinstance(source, FromLocal)
        for file in source.files
    ]
    baked = (*SPEC_FILES, *spec.code.export, *spec.notices, "naive.py", "sample.py")
    return WatchedModel(spec.name, project.folder, (*spec.code.serve, *torch), baked, tuple(weights))


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        yield from (Path(place, name) for name in names)


def _stamp(path: Path) -> Stamp | None:
    """None for a file that is gone, or that this user may not see."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _match(folder: Path, globs: Iterable[str]) -> Iterator[Path]:
    for pattern in globs:
        yield from folder.glob(pattern)
