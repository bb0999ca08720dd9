"""Servers of a benchmark, as processes of this machine on the ``/models`` folder of an image: Prebake's own, and the bare one."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.docker.connection import Connection
from prebake.measure import client
from tests.support.container.running import find_port
from tests.support.repository import ROOT

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Served:
    port: int
    process: int

    def read_cpu_seconds(self) -> float:
        """The processor time of the process and its children so far."""
        return sum(map(read_ticks, (self.process, *find_children(self.process)))) / os.sysconf("SC_CLK_TCK")


def read_ticks(process: int) -> int:
    """User and system time, fields 14 and 15 of proc_pid_stat(5)."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return int(after_name[11]) + int(after_name[12])


def find_children(process: int) -> list[int]:
    return [int(pid) for file in Path(f"/proc/{process}/task").glob("*/children") for pid in file.read_text().split()]


def copy_models(engine: Connection, image: str, folder: Path) -> Path:
    """The image's ``/models`` as ``folder/models``."""
    with closing(engine.client()) as api, tempfile.TemporaryFile() as archive:
        container = api.containers.create(image, ["none"], entrypoint=[])
        try:
            chunks, _ = container.get_archive("/models")
            for chunk in chunks:
                archive.write(chunk)
        finally:
            container.remove(force=True)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tree:
            tree.extractall(folder, filter="data")
    return folder / "models"


@contextmanager
def prebake_server(models: Path, folder: Path, **variables: str) -> Iterator[Served]:
    """The container's own server, with the settings that an image has."""
    port = find_port()
    given = {"PREBAKE_MODELS": str(models), "PREBAKE_HOST": "127.0.0.1", "PREBAKE_PORT": str(port), **variables}
    with serving([sys.executable, "-S", "-m", "entrypoints.serve"], port, folder / "prebake", given) as served:
        yield served


@contextmanager
def bare_server(models: Path, folder: Path) -> Iterator[Served]:
    port = find_port()
    command = [sys.executable, "-m", "tests.benchmarks.server.bare", str(models), str(port)]
    with serving(command, port, folder / "bare", {}) as served:
        yield served


@contextmanager
def serving(command: Sequence[str], port: int, log: Path, variables: dict[str, str]) -> Iterator[Served]:
    """The server while the block lasts, after it has answered once."""
    paths = os.pathsep.join([str(ROOT), *(path for path in sys.path if "site-packages" in path)])
    environment = {**os.environ, "PYTHONPATH": paths, **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_for_answer(process, port, log)
        yield Served(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not become ready: {log.read_text()[-2000:]}")
        try:
            reply: Any = client.post(port, client.Request({"texts": "ready?"}), timeout=30)
        except OSError:
            time.sleep(0.1)
            continue
        # The bare application takes JSON alone, and fails at this form: it is up all the same.
        if reply.status != 503:
            return
