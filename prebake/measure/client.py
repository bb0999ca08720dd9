"""A client that waits for a container and sends it one request: what TTFI is measured with."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prebake.errors import StartFailed
from prebake.measure.ports import Running

# Every question goes through the Engine's proxy and the starting server itself: on two cores, asking every 3 ms made a start
# of 0.48 s take 0.56 s. The answer comes up to this much late, which is counted against the image.
POLL_SECONDS = 0.02
HOLD_SECONDS = 30
LOOK_SECONDS = 0.5  # how often to ask the Engine whether the container still runs: asking costs milliseconds


@dataclass(frozen=True)
class Request:
    """A form: text fields as they are, files as bytes with a name. ``path`` is where the model is asked."""

    fields: Mapping[str, str | tuple[str, bytes]]
    path: str = "/generate"

    def encode(self) -> tuple[bytes, str]:
        """The multipart/form-data body and its content type (RFC 7578)."""
        boundary = uuid.uuid4().hex
        parts = []
        for name, value in self.fields.items():
            filename, data = value if isinstance(value, tuple) else (None, value.encode())
            disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
            kind = "Content-Type: application/octet-stream\r\n" if filename else ""
            head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n"
            parts.append(head.encode() + data + b"\r\n")
        return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


@dataclass(frozen=True)
class Reply:
    status: int
    media_type: str
    body: bytes


def get(port: int, path: str, *, timeout: float = 60, headers: Mapping[str, str] | None = None) -> Reply:
    return _exchange(port, "GET", path, b"", headers or {}, timeout)


def post(port: int, request: Request, *, timeout: float = 600) -> Reply:
    """Send the request; where the server is not ready yet, let it hold the request until it is (RFC 7240)."""
    body, kind = request.encode()
    headers = {"Content-Type": kind, "Prefer": f"wait={int(timeout)}"}
    return _exchange(port, "POST", request.path, body, headers, timeout)


def startup(port: int) -> dict[str, Any]:
    """The server's own account of its start."""
    return dict(json.loads(get(port, "/startup").body))


def wait_until(container: Running, check: Callable[[int], bool], deadline: float, what: str) -> float:
    """Poll until the check holds; seconds since the start was asked for.

    Raises StartFailed with the container's last words where it exits, or the deadline passes, first.
    """
    look = time.perf_counter() + LOOK_SECONDS
    while True:
        try:
            if check(container.port):
                return time.perf_counter() - container.requested
        except (OSError, http.client.HTTPException):
            pass  # not listening yet: the published port refuses or resets
        if time.perf_counter() > look:
            look = time.perf_counter() + LOOK_SECONDS
            if (code := container.exit_code()) is not None:
                raise failed(container, f"exited with {code}")
            if time.perf_counter() - container.requested > deadline:
                raise failed(container, f"was not {what} after {deadline:.0f} s")
        time.sleep(POLL_SECONDS)


def failed(container: Running, what: str) -> StartFailed:
    words = "\n".join(container.logs().strip().splitlines()[-12:])
    return StartFailed(
        f"The container {what}." + (f" Its last words:\n{words}" if words else " It said nothing."),
        next_action="read the lines above; `docker run` the image to see it start, GET /health says what is wrong",
    )


def is_live(port: int) -> bool:
    return get(port, "/v2/health/live").status == 200


def is_ready(port: int) -> bool:
    """Asks once and lets the server answer when it is, or cannot be (RFC 7240): asking again and again slows it down."""
    return get(port, "/v2/health/ready", headers={"Prefer": f"wait={HOLD_SECONDS}"}).status == 200


def _exchange(port: int, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body or None, headers=dict(headers))
        response = connection.getresponse()
        return Reply(response.status, (response.getheader("Content-Type") or "").split(";")[0], response.read())
    finally:
        connection.close()
