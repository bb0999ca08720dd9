"""A loopback server that speaks as much of Cloud Storage's JSON API as gcsfs uses to read: metadata, media, empty lists."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.checkpoint_servers.webserver import Fault, Seen, WebServer

BUCKET = "bucket"
_OBJECTS = f"/storage/v1/b/{BUCKET}/o"


class GsServer(WebServer):
    """Objects by name, each a list of generations (numbered from 1), of which the last is the current one."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, list[bytes]] = {}
        self.refuse = False
        self.packed: set[str] = set()
        """Names of what was uploaded with ``Content-Encoding: gzip``."""

    def put(self, name: str, data: bytes) -> None:
        self.objects.setdefault(name, []).append(data)

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        parts = urlsplit(seen.path)
        path = unquote(parts.path).replace("//", "/")
        query = parse_qs(parts.query)
        name = path.removeprefix("/download").removeprefix(_OBJECTS).lstrip("/")
        versions = self.objects.get(name, [])
        generation = int(query.get("generation", [str(len(versions))])[0])
        if self.refuse:
            self._send(handler, seen, 403, {}, b"", Fault())
        elif path == _OBJECTS:
            self._answer_document(handler, seen, {"items": []})
        elif not 1 <= generation <= len(versions):
            self._send(handler, seen, 404, {}, b"", Fault())
        elif path.startswith("/download"):
            self.files[parts.path] = versions[generation - 1]
            super().answer(handler, seen)
        else:
            size = len(versions[generation - 1])
            document = {"name": name, "bucket": BUCKET, "size": str(size), "generation": str(generation)}
            packed = {"contentEncoding": "gzip"} if name in self.packed else {}
            self._answer_document(handler, seen, {**document, **packed})

    def _answer_document(self, handler: BaseHTTPRequestHandler, seen: Seen, document: object) -> None:
        self._send(handler, seen, 200, {"Content-Type": "application/json"}, json.dumps(document).encode(), Fault())
