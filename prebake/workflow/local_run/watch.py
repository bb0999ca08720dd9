"""``prebake run --watch``: the model's code is mounted over that of the image, and a change of it starts the model again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from prebake.docker.containers.container_spec import Bind
from prebake.io.log import Log
from prebake.spec.stage_code import PACKAGE
from prebake.workflow.local_run.server_client import Refused, ServerClient
from prebake.workflow.local_run.unlisted_imports import find_unlisted_imports
from prebake.workflow.local_run.watched_files import POLL_SECONDS, Changes, WatchedFiles, Watcher

APP = "/app"
"""Where an image has the code that it serves."""


def find_entrypoints(root: Path) -> Path | None:
    """The folder of the container's own code, if the project is a clone of Prebake; None beside an installed Prebake."""
    folder = PACKAGE.parent / "entrypoints"
    return folder if folder.is_dir() and folder.parent == root else None


def mount_code(files: WatchedFiles) -> list[Bind]:
    """Whole folders: a mounted file would stay the old one when an editor renames a new one over it."""
    folders = [model.folder for model in files.models if any(model.served_files())]
    if files.entrypoints:
        folders.append(files.entrypoints)
    return [Bind(folder, f"{APP}/{folder.relative_to(files.root).as_posix()}") for folder in folders]


def find_unreadable(files: WatchedFiles) -> Iterator[Path]:
    """Folders and files that the container's user, another one than theirs, cannot read."""
    served = files.served()
    for path in (*{path.parent for path in served}, *served):
        needed = 0o5 if path.is_dir() else 0o4
        if path.stat().st_mode & needed != needed:
            yield path


class CodeWatch:
    """Acts on changes while a container runs, and waits for them while none does."""

    def __init__(self, files: WatchedFiles, log: Log) -> None:
        self._files = files
        self._watcher = Watcher(files)
        self._log = log
        self._warn_of_imports()

    def follow(self, ended: Event, client: ServerClient) -> bool:
        """Until the container has ended, or its server's code has changed: True then, since that takes a new container."""
        while not ended.wait(POLL_SECONDS):
            changes = self._watcher.find_changes()
            self._explain(changes)
            if changes.container:
                self._log(f"{_list(changes.container)} changed: the container starts again")
                return True
            for name, files in changes.models.items():
                self._restart(name, files, client)
        return False

    def wait(self) -> None:
        """Until code has changed that a new container runs."""
        while True:
            time.sleep(POLL_SECONDS)
            changes = self._watcher.find_changes()
            self._explain(changes)
            if changes.container or changes.models:
                files = [*changes.container, *(file for files in changes.models.values() for file in files)]
                self._log(f"{_list(files)} changed: the container starts again")
                return

    def _restart(self, name: str, files: Sequence[str], client: ServerClient) -> None:
        self._log(f"{_list(files)} changed: {name} starts again")
        try:
            seconds = client.restart_model(name)
        except Refused as refused:
            self._log(f"error: {refused}\n  next: correct the code and save it; {name} starts again then")
        else:
            self._log(f"{name} is ready again after {seconds:.2f} s")

    def _warn_of_imports(self) -> None:
        for path in find_unlisted_imports(self._files.root, self._files.served()):
            name = path.relative_to(self._files.root)
            self._log(f"warning: the code imports {name}, and no field of `code` in image.yaml lists it: add it there")

    def _explain(self, changes: Changes) -> None:
        if changes.models:
            self._warn_of_imports()
        if changes.build:
            self._log(f"{_list(changes.build)} changed: this takes effect with the next build only")
        if changes.unlisted:
            self._log(
                f"{_list(changes.unlisted)} changed: no field of `code` in image.yaml lists it, so the image does not have it"
            )


def _list(files: Sequence[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
