"""A real container registry for tests: Debian's docker-registry package, unpacked and not installed, on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from prebake.bootstrap import debian_packages
from prebake.io import subprocesses
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock
from prebake.io.log import log_to_stderr
from prebake.io.subprocesses import CommandFailed

_SUITES = ("forky", "trixie", None)
"""The newest that runs here: bookworm's was made with a Go whose sha256 uses none of a processor's instructions for it, three
times as slow as what registries run today."""


def registry_program() -> Path:
    """The registry's program, fetched once into the cache."""
    home = cache_folder() / "tests" / "registry"
    program = home / "usr" / "bin" / "docker-registry"
    with hold_lock(home.with_suffix(".lock")):
        for suite in _SUITES:
            if not _runs(program):
                with contextlib.suppress(CommandFailed):
                    debian_packages.unpack(["docker-registry"], home, log_to_stderr, suite=suite)
    return program


def _runs(program: Path) -> bool:
    try:
        return program.exists() and subprocesses.run([program, "--version"], timeout=20).exit_code == 0
    except CommandFailed:
        return False


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """Serve an empty registry that stores under ``folder``; gives its ``127.0.0.1:port``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}, "delete": {"enabled": True}},
        "http": {"addr": address},
    }
    config = folder / "registry.yml"
    config.write_text(yaml.safe_dump(settings))
    with (folder / "registry.log").open("wb") as log:
        server = subprocess.Popen(
            [registry_program(), "serve", config],
            stdout=log,
            stderr=log,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            _wait_until_answering(address, server, folder / "registry.log")
            yield address
        finally:
            server.terminate()
            server.wait(10)


def _wait_until_answering(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
            return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the registry did not start: {log.read_text()}") from error
            time.sleep(0.02)
