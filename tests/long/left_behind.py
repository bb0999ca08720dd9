"""Search the machine for leftovers of ended containers: containers, processes, folders, temporary files."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from prebake.docker.connection import Connection, storage_of
from prebake.docker.containers.container_spec import LABEL


def find_left_behind(engine: Connection, owner: str, containers: Sequence[str], patience: float = 10.0) -> list[str]:
    """Containers of this owner; processes and folders of the Engine for these containers; temporary files of this process."""
    deadline = time.monotonic() + patience
    while found := [*left_containers(engine, owner), *left_processes(containers), *left_folders(engine, containers)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return [*found, *(f"temporary file {path.name}" for path in Path(tempfile.gettempdir()).iterdir())]


def left_containers(engine: Connection, owner: str) -> list[str]:
    with closing(engine.client()) as api:
        there = api.containers.list(all=True, filters={"label": f"{LABEL}={owner}"}, ignore_removed=True)
        return [f"container {each.name}" for each in there]


def left_processes(containers: Sequence[str]) -> list[str]:
    """Such as the shim of a container, which has its number on the command line."""
    found, known = [], set(containers)
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        found += [
            f"process {file.parent.name} ({words[0]}) of container {word[:12]}" for word in words if word in known
        ]
    return found


def left_folders(engine: Connection, containers: Sequence[str]) -> list[str]:
    """Nothing if the Engine's folder is another machine's, or if this user may not read it."""
    folder = storage_of(engine).root / "containers"
    return [f"folder of container {each[:12]}" for each in containers if os.path.isdir(folder / each)]  # noqa: PTH112
