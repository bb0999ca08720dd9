"""A registry that keeps the part of a chunk that arrived (Debian's does not), and that lists referrers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from prebake.oci.blobs.blobs import sha256_digest
from tests.support.registry_servers.server import Handler, Server


class KeepingRegistry(Server):
    """Uploads, to the letter of the specification, and referrers. A body is cut once after ``cut`` bytes, which stay."""

    def __init__(self, cut: int | None = None) -> None:
        super().__init__()
        self.cut = cut
        self.uploads: dict[str, bytearray] = {}
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}

    def answer(self, handler: Handler) -> None:
        path = urlsplit(handler.path).path
        for pattern, method in _ROUTES.items():
            found = re.fullmatch(pattern, f"{handler.command} {path}")
            if found:
                method(self, handler, *found.groups())
                return
        handler.body()
        handler.reply(404)

    def look(self, handler: Handler, digest: str) -> None:
        handler.reply(200 if digest in self.blobs else 404)

    def begin(self, handler: Handler) -> None:
        upload = str(len(self.uploads))
        self.uploads[upload] = bytearray()
        handler.reply(202, {"Location": f"/v2/kept/blobs/uploads/{upload}"})

    def state(self, handler: Handler, upload: str) -> None:
        handler.reply(204, {"Range": f"0-{len(self.uploads[upload]) - 1}", "Location": urlsplit(handler.path).path})

    def take(self, handler: Handler, upload: str) -> None:
        held, size = self.uploads[upload], int(handler.headers["Content-Length"])
        if handler.headers["Content-Range"] != f"{len(held)}-{len(held) + size - 1}":
            handler.body()
            handler.reply(416, {"Range": f"0-{len(held) - 1}"})
            return
        cut, self.cut = (self.cut, None) if self.cut is not None and len(held) + size > self.cut else (None, self.cut)
        held += handler.rfile.read(size if cut is None else cut - len(held))
        if cut is None:
            handler.reply(202, {"Range": f"0-{len(held) - 1}", "Location": urlsplit(handler.path).path})
        else:
            handler.close_connection = True

    def finish(self, handler: Handler, upload: str) -> None:
        digest = parse_qs(urlsplit(handler.path).query)["digest"][0]
        self.uploads[upload] += handler.body()
        if sha256_digest(bytes(self.uploads[upload])) != digest:
            handler.reply(400, data=b'{"errors": [{"code": "DIGEST_INVALID"}]}')
            return
        self.blobs[digest] = bytes(self.uploads.pop(upload))
        handler.reply(201)

    def hold(self, handler: Handler, target: str) -> None:
        data = handler.body()
        self.manifests[target] = (handler.headers["Content-Type"], data)
        handler.reply(201, {"OCI-Subject": json.loads(data).get("subject", {}).get("digest", "")})

    def referrers(self, handler: Handler, digest: str) -> None:
        """One a page, so that there are several."""
        found = [
            {"mediaType": kind, "digest": sha256_digest(data), "size": len(data)}
            for kind, data in self.manifests.values()
            if json.loads(data)["subject"]["digest"] == digest
        ]
        page = int(parse_qs(urlsplit(handler.path).query).get("page", ["0"])[0])
        following = {"Link": f'<{urlsplit(handler.path).path}?page={page + 1}>; rel="next"'}
        index = {"schemaVersion": 2, "manifests": found[page : page + 1]}
        handler.reply(200, following if page + 1 < len(found) else {}, json.dumps(index).encode())


_ROUTES: dict[str, Callable[..., None]] = {
    r"HEAD /v2/kept/blobs/(sha256:\w+)": KeepingRegistry.look,
    r"POST /v2/kept/blobs/uploads/": KeepingRegistry.begin,
    r"GET /v2/kept/blobs/uploads/(\d+)": KeepingRegistry.state,
    r"PATCH /v2/kept/blobs/uploads/(\d+)": KeepingRegistry.take,
    r"PUT /v2/kept/blobs/uploads/(\d+)": KeepingRegistry.finish,
    r"PUT /v2/kept/manifests/(.+)": KeepingRegistry.hold,
    r"GET /v2/kept/referrers/(sha256:\w+)": KeepingRegistry.referrers,
}
