"""A node without images: a Docker Engine of its own behind a shaped link."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from prebake.bootstrap.disposable_engine import remove_control_groups, start_engine, stop_engine
from prebake.bootstrap.engine_folder import EngineFolder
from prebake.bootstrap.engine_process import wait_for_answer
from prebake.bootstrap.engine_programs import find_programs
from prebake.docker.connection import Connection
from prebake.docker.images.images import list_summaries
from prebake.errors import EngineError
from prebake.io.file_lock import hold_lock, try_lock
from prebake.io.log import Log
from prebake.workflow.absent.shaped_link import REGISTRY_ADDRESS, Link

_CONTENTS = ("io.containerd.content.v1.content/blobs/sha256/*", "io.containerd.snapshotter.v1.overlayfs/snapshots/*")
_EMPTY_SECONDS = 60.0
_POLL_SECONDS = 0.05


class Node:
    """The Engine of a node. ``connection`` reaches it by its socket, from every network namespace."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.folder = folder
        self.connection = connection
        self._containerd = EngineFolder(folder).home / "data" / "containerd" / "daemon"

    def empty(self) -> None:
        """Remove all images, and wait until their blobs and unpacked layers are gone. Data that waits for the disk is written, so
        that the next pull does not share the disk with it."""
        with closing(self.connection.client()) as client:
            for image in list_summaries(client, every=True):
                client.images.remove(image["Id"], force=True)
        deadline = time.monotonic() + _EMPTY_SECONDS
        while kept := self.contents():
            if time.monotonic() > deadline:
                raise EngineError(
                    f"The Engine of the node keeps {len(kept)} blobs and layers of images that were removed.",
                    next_action="run the command again",
                )
            time.sleep(_POLL_SECONDS)
        os.sync()

    def contents(self) -> list[Path]:
        """The blobs and the unpacked layers that the Engine has."""
        return [path for pattern in _CONTENTS for path in self._containerd.glob(pattern)]


@contextmanager
def empty_node(host: str, link: Link, folder: Path, log: Log) -> Iterator[Node]:
    """Start an Engine of the same programs as the one at ``host``, on the node's side of the link. ``folder`` is one of
    ``scratch_folder``."""
    engine = EngineFolder(folder)
    child = link.node.run(start_engine, engine, find_programs(host, log), f"{REGISTRY_ADDRESS}/32", log)
    try:
        wait_for_answer(engine, child)
        yield Node(folder, Connection(engine.host, engine.cli))
    finally:
        stop_engine(engine, child)


@contextmanager
def scratch_folder(root: Path, log: Log) -> Iterator[Path]:
    """A new folder in ``root``, removed at the end of the block. Those of processes that were killed are removed first.

    A process holds the lock of its folder, which the kernel releases when the process ends.
    """
    with ExitStack() as stack:
        with hold_lock(root / "lock"):
            _remove_strays(root, log)
            folder = root / uuid.uuid4().hex[:8]
            folder.mkdir()
            stack.callback(_remove, folder)
            stack.enter_context(hold_lock(folder / "lock"))
        yield folder


def _remove(folder: Path) -> None:
    """An Engine that was killed a moment ago may still write: then some entries come back."""
    deadline = time.monotonic() + _EMPTY_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_POLL_SECONDS if folder.exists() else 0)
    if folder.exists():
        shutil.rmtree(folder)


def _remove_strays(root: Path, log: Log) -> None:
    for folder in root.iterdir():
        if not folder.is_dir():
            continue
        try:
            with (folder / "lock").open("a") as lock:
                if not try_lock(lock.fileno()):
                    continue
        except FileNotFoundError:  # its process is removing it
            continue
        log(f"absent: removing {folder}, which a killed process left")
        remove_control_groups(EngineFolder(folder))
        shutil.rmtree(folder, ignore_errors=True)
