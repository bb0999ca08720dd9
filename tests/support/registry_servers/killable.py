"""A real registry that can be killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.registries.registry import registry_program


class KillableRegistry:
    """The real one, at one address and with one storage however often it is started."""

    def __init__(self, folder: Path, auth: Mapping[str, Any] | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.storage = folder / "storage"
        self._config = folder / "killable.yml"
        self._log = folder / "killable.log"
        settings = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.storage)}, "delete": {"enabled": True}},
            "http": {"addr": self.address, "secret": "so that a restarted one knows its uploads"},
        }
        self._config.write_text(yaml.safe_dump({**settings, "auth": auth} if auth else settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [registry_program(), "serve", self._config],
                stdout=log,
                stderr=log,
                env={"OTEL_TRACES_EXPORTER": "none"},
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"the registry did not start: {self._log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def unfinished(self) -> list[Path]:
        """Bytes of uploads that it still holds (a cancelled one leaves a hash state)."""
        return sorted(self.storage.glob("docker/registry/v2/repositories/**/_uploads/*/data"))

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code == 401
        except OSError:
            return False
        return True


@contextmanager
def killable_registry(folder: Path, auth: Mapping[str, Any] | None = None) -> Iterator[KillableRegistry]:
    registry = KillableRegistry(folder, auth)
    registry.start()
    try:
        yield registry
    finally:
        registry.kill()
