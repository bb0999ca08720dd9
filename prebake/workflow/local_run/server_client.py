"""What ``prebake run`` asks of the server: the state of its start, and to start a model's process again."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prebake.measure.start import collect_phases

REQUEST_ID = "prebake-run"
"""The ``X-Request-Id`` of these requests, by which they can be left out of the log that is shown."""
START_SECONDS = 5.0
"""How long the answer to ``/startup`` may take, on a machine that is busy with the start."""


class Refused(Exception):
    """The server did not do what it was asked. The text is its reason."""


@dataclass(frozen=True)
class ServerClient:
    """``port`` is of 127.0.0.1; ``token`` is the one of the container's administration."""

    port: int
    token: str

    def get_startup(self) -> Mapping[str, Any] | None:
        """The server's report of its start; None as long as it does not answer."""
        try:
            status, body = self._exchange("GET", "/startup", START_SECONDS)
        except (OSError, http.client.HTTPException):
            return None
        return _parse(body) if status == 200 else None

    def restart_model(self, name: str) -> float:
        """End the model's process and start a new one, which imports the code again. Returns the seconds until it is ready.

        Requests that were accepted are answered first. Raises Refused if the new process does not become ready, for example
        because its code raises; then the model stays unloaded, and this may be called again.
        """
        began = time.perf_counter()
        for action in ("unload", "load"):
            path = f"/v2/repository/models/{name}/{action}"
            try:
                status, body = self._exchange("POST", path, None)
            except (OSError, http.client.HTTPException) as error:
                raise Refused(f"the server does not answer ({error})") from error
            if status != 200:
                raise Refused(_read_error(body))
        return time.perf_counter() - began

    def _exchange(self, method: str, path: str, timeout: float | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "X-Request-Id": REQUEST_ID}
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def finished_phases(startup: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    """The name, the start and the seconds of each phase that has ended, by their end."""
    ended = (phase for phase in collect_phases(startup) if phase.get("seconds") is not None)
    phases = [(str(phase["name"]), float(phase["start"]), float(phase["seconds"])) for phase in ended]
    yield from sorted(phases, key=lambda phase: phase[1] + phase[2])


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _read_error(body: bytes) -> str:
    error = _parse(body).get("error", body.decode(errors="replace"))
    return str(error.get("message", error) if isinstance(error, dict) else error)
