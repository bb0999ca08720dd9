"""A loopback server that speaks the hub's HTTP API as huggingface_hub uses it; large files lie on a second host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.support.checkpoint_servers.webserver import Fault, Seen, WebServer, serve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/model"


class HubServer(WebServer):
    """One repository at one commit, which is also ``main``. ``token``: who does not send it is refused."""

    def __init__(self, cdn: WebServer, repository: str = REPOSITORY) -> None:
        super().__init__()
        self.cdn = cdn
        self.repository = repository
        self.token: str | None = None
        self.refusal: tuple[int, str] | None = None
        self.siblings: list[dict[str, object]] = []

    def publish(self, name: str, data: bytes, *, large: bool) -> None:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        sibling: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": oid}
        path = f"/{self.repository}/resolve/{COMMIT}/{name}"
        self.extra[path] = {"X-Repo-Commit": COMMIT}
        if large:
            digest = hashlib.sha256(data).hexdigest()
            sibling["lfs"] = {"size": len(data), "sha256": digest, "pointerSize": 134}
            self.cdn.files[f"/{digest}"] = data
            self.redirects[path] = f"{self.cdn.url}/{digest}?X-Signature=signed"
            self.extra[path] |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{digest}"'}
        else:
            self.files[path] = data
        self.siblings.append(sibling)

    def answer(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        path = seen.path.partition("?")[0]
        if self.token is not None and seen.headers.get("authorization") != f"Bearer {self.token}":
            self._refuse(handler, seen, 401, "RepoNotFound")
        elif self.refusal is not None:
            self._refuse(handler, seen, *self.refusal)
        elif path.startswith("/api/") and not self.faults.get(path):
            self._answer_api(handler, seen, path)
        else:
            super().answer(handler, seen)

    def _answer_api(self, handler: BaseHTTPRequestHandler, seen: Seen, path: str) -> None:
        start, _, revision = path.partition("/revision/")
        if start != f"/api/models/{self.repository}":
            self._refuse(handler, seen, 404, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._refuse(handler, seen, 404, "RevisionNotFound")
        else:
            document = {"id": self.repository, "sha": COMMIT, "siblings": self.siblings, "private": False, "tags": []}
            body = json.dumps(document).encode()
            self._send(handler, seen, 200, {"Content-Type": "application/json"}, body, Fault())

    def _refuse(self, handler: BaseHTTPRequestHandler, seen: Seen, status: int, code: str) -> None:
        self._send(handler, seen, status, {"X-Error-Code": code}, b"", Fault())


@contextmanager
def serve_hub(repository: str = REPOSITORY) -> Iterator[HubServer]:
    with serve() as cdn, serve(HubServer(cdn, repository)) as hub:
        assert isinstance(hub, HubServer)
        yield hub
