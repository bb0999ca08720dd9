"""One file by one connection and by several ranges at once, from a server that bounds each connection's speed.

    python -m tests.benchmarks.ranges [BYTES] [BYTES_PER_SECOND]

Prints the seconds of both and their ratio. What a real network gives depends on the network: this shows what the bound of a
connection costs, and that several ranges do not pay it.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from prebake.checkpoints.download.http_ranges import DEFAULT_RANGES, Ranges
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.store.store import Store
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.webserver import Fault, Seen, WebServer, serve
from tests.support.silent_progress import silent_progress

_BLOCK = 1 << 16
_PATH = "/weights"


class Throttled(WebServer):
    """``speed`` bytes a second for each connection."""

    def __init__(self, data: bytes, speed: int) -> None:
        super().__init__()
        self.files[_PATH] = data
        self._speed = speed

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        whole = self.files[_PATH]
        etag = f'"{len(whole)}"'
        first, _, last = seen.headers.get("range", "").removeprefix("bytes=").partition("-")
        start, end = int(first or 0), int(last) + 1 if last else len(whole)
        headers = {"ETag": etag, "Content-Length": str(end - start)}
        if first:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(whole)}"
        self._send(handler, seen, 206 if first else 200, headers, b"", Fault())
        began = time.monotonic()
        for at in range(start, end, _BLOCK):
            handler.wfile.write(whole[at : min(at + _BLOCK, end)])
            time.sleep(max(0.0, (at + _BLOCK - start) / self._speed - (time.monotonic() - began)))


@contextmanager
def throttled(size: int, speed: int) -> Iterator[tuple[WebServer, LockedFile]]:
    data = random.Random(0).randbytes(size)
    with serve(Throttled(data, speed)) as web:
        sha256 = hashlib.sha256(data).hexdigest()
        yield web, LockedFile("weights", f"http:{web.url}{_PATH}", "", "", size, sha256, "MIT", True)


def seconds(file: LockedFile, ranges: Ranges) -> float:
    with tempfile.TemporaryDirectory(prefix="ranges-") as folder:
        began = time.monotonic()
        fetch([file], Store(Path(folder)), {"http": Http(ranges=ranges)}, silent_progress())
        return time.monotonic() - began


def main(size: int = 96 << 20, speed: int = 8 << 20) -> None:
    with throttled(size, speed) as (_, file):
        one = seconds(file, Ranges(width=1))
        several = seconds(file, DEFAULT_RANGES)
    print(
        f"one connection: {one:.1f} s; {DEFAULT_RANGES.width} ranges at once: {several:.1f} s; ratio {one / several:.2f}"
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
