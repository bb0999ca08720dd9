"""Xet storage on loopback: as much of its protocol as the package hf_xet uses to read a file, beside a hub that speaks of it.

The chunks are the package's own, from an upload to a folder. https://huggingface.co/docs/xet/index describes the protocol.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from hf_xet import XetSession

from tests.support.checkpoint_servers.hubserver import COMMIT, REPOSITORY, HubServer
from tests.support.checkpoint_servers.webserver import Fault, Seen, WebServer, serve

TOKEN = "xet-token"
_HEADER = 8  # bytes before a chunk: version, three of its packed size, how it is packed, three of its size


@dataclass(frozen=True)
class Xorb:
    """A file as Xet keeps it. ``chunks`` are their first and last byte in ``data``, and the same in the file."""

    digest: str
    name: str
    data: bytes
    chunks: list[tuple[int, int, int, int]]


def pack(data: bytes) -> Xorb:
    """A file that fits into one xorb."""
    with tempfile.TemporaryDirectory(prefix="xet-") as folder:
        commit = XetSession().new_upload_commit(endpoint=f"local://{folder}")
        upload = commit.start_upload_bytes(data)
        commit.wait_to_finish()
        (path,) = Path(folder).rglob("xorbs/default.*[0-9a-f]")
        stored = path.read_bytes()
    chunks, at, start = [], 0, 0
    while start < len(data):
        packed, size = (int.from_bytes(stored[at + skip : at + skip + 3], "little") for skip in (1, 5))
        chunks.append((at, at + _HEADER + packed, start, start + size))
        at, start = at + _HEADER + packed, start + size
    return Xorb(upload.result().xet_info.hash, path.name.removeprefix("default."), stored, chunks)


class XetStorage(WebServer):
    """The storage's server: where the chunks of a file are, and the chunks. Faults of ``/xorb`` and of ``/reconstruction``."""

    def __init__(self) -> None:
        super().__init__()
        self.etags = False
        self.packed: dict[str, Xorb] = {}

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        version, _, digest = seen.path.strip("/").partition("/reconstructions/")
        if version == "v1" and digest in self.packed:
            self._answer_reconstruction(handler, seen, self.packed[digest])
        else:
            super().answer(handler, seen)

    def _answer_reconstruction(self, handler: BaseHTTPRequestHandler, seen: Seen, xorb: Xorb) -> None:
        waiting = self.faults.get("/reconstruction")
        if waiting:
            self._send(handler, seen, waiting.popleft().status or 500, {}, b"", Fault())
            return
        first, _, last = seen.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), int(last) + 1 if last else xorb.chunks[-1][3]
        inside = [index for index, chunk in enumerate(xorb.chunks) if chunk[3] > start and chunk[2] < end]
        one, other = xorb.chunks[inside[0]], xorb.chunks[inside[-1]]
        span = {"start": inside[0], "end": inside[-1] + 1}
        place = {"range": span, "url": f"{self.url}/xorb", "url_range": {"start": one[0], "end": other[1] - 1}}
        term = {"hash": xorb.name, "unpacked_length": other[3] - one[2], "range": span}
        document = {"offset_into_first_range": start - one[2], "terms": [term], "fetch_info": {xorb.name: [place]}}
        self._send(handler, seen, 200, {"Content-Type": "application/json"}, json.dumps(document).encode(), Fault())


class XetHub(HubServer):
    """A hub, some of whose files lie in ``storage``; by HTTP they come as before."""

    def __init__(self, cdn: WebServer, storage: XetStorage) -> None:
        super().__init__(cdn)
        self.storage = storage
        self.tokens = f"/api/models/{REPOSITORY}/xet-read-token/{COMMIT}"

    def publish_in_xet(self, name: str, data: bytes, *, tokens_at: str = "") -> None:
        self.publish(name, data, large=True)
        xorb = pack(data)
        self.storage.packed[xorb.digest] = xorb
        self.storage.files["/xorb"] = xorb.data
        link = f'<{tokens_at or self.url}{self.tokens}>; rel="xet-auth"'
        self.extra[f"/{REPOSITORY}/resolve/{COMMIT}/{name}"] |= {"X-Xet-Hash": xorb.digest, "Link": link}

    def _answer_api(self, handler: BaseHTTPRequestHandler, seen: Seen, path: str) -> None:
        if path != self.tokens:
            super()._answer_api(handler, seen, path)
            return
        document = {"accessToken": TOKEN, "exp": int(time.time()) + 3600, "casUrl": self.storage.url}
        self._send(handler, seen, 200, {"Content-Type": "application/json"}, json.dumps(document).encode(), Fault())


@contextmanager
def serve_xet() -> Iterator[XetHub]:
    with serve() as cdn, serve(XetStorage()) as storage:
        assert isinstance(storage, XetStorage)
        with serve(XetHub(cdn, storage)) as hub:
            assert isinstance(hub, XetHub)
            yield hub
