"""``prebake trace``: read a start from a container or a file, and write it as a trace."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from prebake.errors import NoNetwork, PathRefused
from prebake.io.atomic_write import write_text
from prebake.io.disk_space import translate_full_disk
from prebake.io.log import Log
from prebake.measure.trace.start_documents import StartUnreadable, read_starts
from prebake.measure.trace.trace_events import make_trace

TIMEOUT_SECONDS = 20.0
MAX_BYTES = 64 * 2**20
"""The most bytes of a document that are read. The largest report of this repository has 0.2 MB."""


class ContainerUnreachable(NoNetwork):
    """``prebake trace`` cannot connect to the URL, or the server there did not answer."""


def trace_source(source: str, log: Log) -> Mapping[str, Any]:
    """The trace of a start: of the container at a URL, or of a document in a file. Raises ContainerUnreachable, StartUnreadable
    or PathRefused."""
    is_url = source.lower().startswith(("http://", "https://"))
    document = _parse(_fetch(source) if is_url else _read(Path(source)), source)
    starts = read_starts(document, source)
    if is_url and starts[0].ready is None:
        log(f"{source} is not ready: the trace ends with the phases that it has reported so far")
    return make_trace(starts, source)


def _parse(data: bytes, source: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StartUnreadable(
            f"{source} is no JSON document: {error}.",
            next_action="name a report, the result of a benchmark, or the URL of a running container",
        ) from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _limit(file.read(MAX_BYTES + 1), str(path))
    except OSError as error:
        raise StartUnreadable(
            f"{path} cannot be read: {os.strerror(error.errno or 0)}.",
            next_action="name a report (build/NAME/report.json), the result of a benchmark, or a URL with http://",
        ) from error
    except ValueError as error:  # a path with a null byte
        raise StartUnreadable(f"{str(path)!r} is no path: {error}.", next_action="name a file or a URL") from error


def _limit(data: bytes, where: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise StartUnreadable(
            f"{where} has more than {MAX_BYTES} bytes, which no document of a start has.",
            next_action="name a report, the result of a benchmark, or the URL of a running container",
        )
    return data


def _fetch(url: str) -> bytes:
    """The body of ``/startup``. The path of ``url`` comes before it, unless it ends with it."""
    try:
        status, body = _get(urlsplit(url))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ContainerUnreachable(
            f"{url} does not answer: {error or type(error).__name__}.",
            next_action="start the container with its port published (`docker run -p 8000:8000`), or forward the port of the Pod",
        ) from error
    if status != 200:
        raise StartUnreadable(
            f"{url} answers GET /startup with status {status}.",
            next_action="give the URL of a container that Prebake built; the naive image has no /startup",
        )
    return _limit(body, url)


def _get(parts: SplitResult) -> tuple[int, bytes]:
    kind = http.client.HTTPSConnection if parts.scheme.lower() == "https" else http.client.HTTPConnection
    if not parts.hostname:
        raise ValueError("the URL names no host")
    path = parts.path.rstrip("/").removesuffix("/startup")
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{path}/startup", headers={"Accept": "application/json"})
        response = connection.getresponse()
        return response.status, _read_body(response)
    finally:
        connection.close()


def _read_body(response: http.client.HTTPResponse) -> bytes:
    """The body, or a part of it that is too long. Raises TimeoutError: the connection's own timeout is that of one piece, and a
    server may send a byte now and then."""
    body, deadline = bytearray(), time.monotonic() + TIMEOUT_SECONDS
    while len(body) <= MAX_BYTES and (piece := response.read1(1 << 20)):
        body += piece
        if time.monotonic() > deadline:
            raise TimeoutError(f"it is still sending after {TIMEOUT_SECONDS:g} s")
    if len(body) <= MAX_BYTES and response.length:  # read1, unlike read, does not tell
        raise http.client.IncompleteRead(bytes(body), response.length)
    return bytes(body)


def write_trace(path: Path, text: str) -> None:
    """Write a file atomically; a device or a pipe directly. Raises PathRefused or NoRoom."""
    try:
        with translate_full_disk(path.parent):
            if path.exists() and not path.is_file() and not path.is_dir():
                path.write_text(text, encoding="utf-8")
            else:
                write_text(path, text)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise PathRefused(
            f"{path} cannot be written: {reason}.", next_action="name a file in a folder that this user may write to"
        ) from error
