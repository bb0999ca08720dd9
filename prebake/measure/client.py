"""An HTTP client that waits for a container and sends it one request. TTFI is measured with it."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prebake.errors import StartFailed
from prebake.measure.ports import RunningContainer

# Every poll goes through the Engine's proxy and the starting server itself: on two cores, polling every 3 ms made a start
# of 0.48 s take 0.56 s. The answer is seen up to this much late, which counts against the image.
POLL_SECONDS = 0.02
HOLD_SECONDS = 30  # how long the server may hold a readiness request
LOG_SECONDS = 2.0  # how long the Engine's log may lag behind a refusal
EXIT_CHECK_SECONDS = 0.5  # how often to ask the Engine whether the container still runs: asking costs milliseconds


@dataclass(frozen=True)
class Request:
    """A form: text fields as they are, files as a name and bytes. ``path`` is that of the model's endpoint."""

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
class Response:
    status: int
    media_type: str
    body: bytes


def get(port: int, path: str, *, timeout: float = 60, headers: Mapping[str, str] | None = None) -> Response:
    return _exchange(port, "GET", path, b"", headers or {}, timeout)


def post(port: int, request: Request, *, timeout: float = 600) -> Response:
    """Send the request. A server that is not ready yet holds the request until it is (RFC 7240)."""
    body, kind = request.encode()
    headers = {"Content-Type": kind, "Prefer": f"wait={int(timeout)}"}
    return _exchange(port, "POST", request.path, body, headers, timeout)


def ask(container: RunningContainer, request: Request) -> Response:
    """Send a request to a container that is live. Raises StartFailed with the end of its log if it does not answer."""
    try:
        return post(container.port, request)
    except (OSError, http.client.HTTPException) as error:
        raise make_start_failed(container, f"did not answer a request to {request.path} ({error})") from error


def get_startup(port: int) -> dict[str, Any]:
    """The server's report of its start."""
    return dict(json.loads(get(port, "/startup").body))


def wait_until(container: RunningContainer, check: Callable[[int], bool], deadline: float, what: str) -> float:
    """Poll until the check holds. Returns the seconds since the start was requested.

    Raises StartFailed with the end of the container's log if it exits, or ``deadline`` seconds pass, first.
    """
    look = time.perf_counter() + EXIT_CHECK_SECONDS
    while True:
        try:
            if check(container.port):
                return time.perf_counter() - container.requested
        except (OSError, http.client.HTTPException):
            pass  # not listening yet: the published port refuses or resets
        if time.perf_counter() > look:
            look = time.perf_counter() + EXIT_CHECK_SECONDS
            if (code := container.exit_code()) is not None:
                raise make_start_failed(container, f"exited with {code}")
            if time.perf_counter() - container.requested > deadline:
                raise make_start_failed(container, f"was not {what} after {deadline:.0f} s")
        time.sleep(POLL_SECONDS)


def make_start_failed(container: RunningContainer, what: str) -> StartFailed:
    lines = container.logs().strip().splitlines()
    log = "\n".join(lines[-12:])
    return StartFailed(
        f"The container {what}." + (f" The end of its log:\n{log}" if log else " Its log is empty."),
        next_action="read the lines above; start the image with `docker run` and read GET /health, which reports the fault",
        details=_details(_faults(lines)),
    )


def read_fault_details(container: RunningContainer) -> list[Mapping[str, Any]]:
    """The details of the faults for which a server refuses requests. The Engine's log may arrive after the refusal: it is read
    again for up to ``LOG_SECONDS``, until it has a fault."""
    deadline = time.perf_counter() + LOG_SECONDS
    while not (faults := list(_faults(container.logs().splitlines()))) and time.perf_counter() < deadline:
        time.sleep(POLL_SECONDS)
    return _details(faults)


def _faults(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The ``fault`` events of a log, each a line of JSON. An image without Prebake's server logs none."""
    for line in lines:
        try:
            event = json.loads(line) if line.startswith("{") else None
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and event.get("event") == "fault":
            yield event


def _details(faults: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [fault["details"] for fault in faults if isinstance(fault.get("details"), dict)]


def is_live(port: int) -> bool:
    return get(port, "/v2/health/live").status == 200


def is_ready(port: int) -> bool:
    """Send one request and let the server answer when it is ready or has failed (RFC 7240): polling slows the start down."""
    return get(port, "/v2/health/ready", headers={"Prefer": f"wait={HOLD_SECONDS}"}).status == 200


def _exchange(port: int, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Response:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body or None, headers=dict(headers))
        response = connection.getresponse()
        return Response(response.status, (response.getheader("Content-Type") or "").split(";")[0], response.read())
    finally:
        connection.close()
