"""A loopback server that speaks ModelScope's HTTP API as its library uses it; large files lie on a second host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.support.checkpoint_servers.webserver import Fault, Seen, WebServer, serve
from tests.support.checkpoints.parts import sha256

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/model"
_API = f"/api/v1/models/{REPOSITORY}/repo"


class ModelScopeServer(WebServer):
    """One repository; every file was written by one commit, ``master`` is a branch. ``token``: others are refused."""

    def __init__(self, cdn: WebServer) -> None:
        super().__init__()
        self.cdn = cdn
        self.token: str | None = None
        self.entries: list[dict[str, object]] = []

    def publish(self, name: str, data: bytes, *, large: bool, told: bool = True) -> None:
        """``told``: with its sha256 among the files."""
        self.entries.append(
            {
                "Path": name,
                "Type": "blob",
                "Size": len(data),
                "Sha256": sha256(data) if told else "",
                "Revision": COMMIT,
                "IsLFS": large,
            }
        )
        if large:
            self.cdn.files[f"/{sha256(data)}"] = data
            self.redirects[f"/{name}"] = f"{self.cdn.url}/{sha256(data)}?Signature=signed"
        else:
            self.files[f"/{name}"] = data

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        parts = urlsplit(seen.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.token is not None and seen.headers.get("authorization") != f"Bearer {self.token}":
            self._answer_document(handler, seen, 403, {"Code": 403, "Message": "no access"})
        elif query.get("Revision") not in ("master", COMMIT) or not parts.path.startswith(_API):
            self._answer_document(handler, seen, 404, {"Code": 404, "Message": "not found"})
        elif parts.path == f"{_API}/files":
            waiting = self.faults.get("/files")
            fault = waiting.popleft() if waiting else Fault(status=200)
            document = {"Code": 200, "Success": True, "Data": {"Files": self.entries}}
            self._answer_document(handler, seen, fault.status or 200, document)
        else:
            super().answer(handler, Seen(seen.method, f"/{query['FilePath']}", seen.headers))

    def _answer_document(self, handler: BaseHTTPRequestHandler, seen: Seen, status: int, document: object) -> None:
        headers = {"Content-Type": "application/json"}
        self._send(handler, seen, status, headers, json.dumps(document).encode(), Fault())


@contextmanager
def serve_modelscope() -> Iterator[ModelScopeServer]:
    with serve() as cdn, serve(ModelScopeServer(cdn)) as hub:
        assert isinstance(hub, ModelScopeServer)
        yield hub
