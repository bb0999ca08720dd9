"""The real server as a subprocess, and a real HTTP client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support.repository import ROOT

PATIENCE = 20.0


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.005)


class Server:
    """``notes`` is the folder where the tiny model leaves its notes and looks for the test's. ``launcher`` is a command that runs
    the one after it."""

    def __init__(self, models: Path, notes: Path, environ: Mapping[str, str], launcher: Sequence[str] = ()) -> None:
        given = [environ.get(name, "") for name in ("PREBAKE_PORT", "PORT")]
        self.port = next((int(text) for text in given if text.isdecimal()), 0) or find_port()
        self.notes = notes
        self._log = notes / "stderr"
        variables = {
            "PREBAKE_MODELS": str(models),
            "PREBAKE_HOST": "127.0.0.1",
            "PREBAKE_PORT": str(self.port),
            "PREBAKE_FAILURE_EXIT_DELAY": "3",
            "PYTHONPATH": str(ROOT),
            "TINY_NOTES": str(notes),
            **environ,
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*launcher, sys.executable, "-m", "entrypoints.serve"],
                env={**os.environ, **variables},
                stderr=log,
                cwd="/",
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, trust_env=False)

    @property
    def stderr(self) -> str:
        return self._log.read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every line is one. The last may not be complete yet."""
        return [json.loads(line) for line in self.stderr.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for_event(self, name: str, patience: float = PATIENCE) -> dict[str, Any]:
        wait_until(lambda: bool(self.find_events(name)), f"event {name}, log: {self.stderr}", patience)
        return self.find_events(name)[0]

    def find_events(self, name: str) -> list[dict[str, Any]]:
        """Those of one name, without their times."""
        events = [event for event in self.events if event["event"] == name]
        return [{key: value for key, value in event.items() if key != "time"} for event in events]

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.client.get(path, **arguments)

    def post(self, **arguments: Any) -> httpx.Response:
        return self.client.post("/generate", **arguments)

    def status(self) -> str | None:
        """None while nothing answers."""
        try:
            return str(self.get("/health").json()["status"])
        except httpx.TransportError:
            return None

    def wait_for(self, status: str, patience: float = PATIENCE) -> Server:
        def reached() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.stderr}")
            return self.status() == status

        wait_until(reached, f"status {status}, log: {self.stderr}", patience)
        return self

    def wait_until_settled(self) -> str:
        """``ready`` or ``failed``."""
        wait_until(lambda: self.status() in ("ready", "failed"), f"an end of the start, log: {self.stderr}")
        return str(self.status())

    def wait_for_note(self, name: str) -> None:
        wait_until((self.notes / name).exists, f"note {name}")

    def leave_note(self, name: str) -> None:
        (self.notes / name).touch()

    def metric(self, name: str) -> float | None:
        lines = [line.rpartition(" ") for line in self.get("/metrics").text.splitlines()]
        return next((float(value) for key, _, value in lines if key == name), None)

    def find_model_process(self) -> int:
        (child,) = self.find_model_processes()
        return child

    def find_model_processes(self) -> list[int]:
        """In the order in which they were started."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()  # a thread may have started one
        return sorted(int(word) for task in tasks for word in (task / "children").read_text().split())

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def running(models: Path, notes: Path, environ: Mapping[str, str], launcher: Sequence[str] = ()) -> Iterator[Server]:
    server = Server(models, notes, environ, launcher)
    try:
        yield server
    finally:
        server.client.close()
        server.process.kill()
        server.process.wait()


Start = Callable[..., Server]
"""The fixture ``start``: a server with these variables, by name."""
