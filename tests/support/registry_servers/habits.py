"""A registry with the habits of those that people use: each takes uploads in a way of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from prebake.oci.blobs.blobs import sha256_digest
from tests.support.registry_servers.server import Handler, Server

_UPLOAD = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<upload>\d*)")
_BLOB = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>sha256:\w+)")
_MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<target>.+)")


@dataclass(frozen=True)
class Trouble:
    """What the first ``times`` requests of a method get. ``cut``: the connection ends after so many bytes of the body, which
    were read; else the body is read to its end, and ``status`` is the answer."""

    method: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    times: int = 1


@dataclass(frozen=True)
class Habits:
    """How a registry differs from the specification's example.

    ``statuses``: of success, by method. ``range``: the Range header after a PATCH, of what it has and the size of the first
    chunk. ``location``: of an upload, by the registry's address and its path. ``patch``: the answer to PATCH; 0 takes it.
    ``body``: bytes of a body above which it answers 413, ``early``: before it was read, and ``then reads on``
    or ``then hangs up``. ``chunk``: bytes of a ranged PATCH
    above which it answers 416. ``least``: bytes of a chunk that it asks for by OCI-Chunk-Min-Length, and insists on.
    ``forgets``: chunks after which an upload is not known any more. ``stumbles``: the third chunk is answered 416, always.
    ``redirects``: methods that are sent on once, with 307.
    ``blind``: HEAD of a blob that is there answers 404. ``mounts``: the answer to a mount; only 202 opens an upload.
    """

    statuses: Mapping[str, int] = field(default_factory=dict)
    range: Callable[[int, int], str] = lambda has, first: f"0-{has - 1}"
    location: Callable[[str, str], str] = lambda address, path: path
    patch: int = 0
    body: int | None = None
    early: str = ""
    chunk: int | None = None
    least: int | None = None
    forgets: int | None = None
    stumbles: bool = False
    redirects: tuple[str, ...] = ()
    redirect: int = 307
    blind: bool = False
    mounts: int = 202
    troubles: tuple[Trouble, ...] = ()


class HabitualRegistry(Server):
    def __init__(self, habits: Habits) -> None:
        super().__init__()
        self.habits = habits
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.mounted: set[str] = set()
        self._opened = 0
        self.largest = 0  # bytes of a body that was taken
        self._first: dict[str, int] = {}
        self._chunks: dict[str, int] = {}
        self._left = [trouble.times for trouble in habits.troubles]

    def answer(self, handler: Handler) -> None:
        if self._trouble(handler) or self._limit(handler) or self._redirect(handler):
            return
        path = urlsplit(handler.path).path
        if found := _UPLOAD.fullmatch(path):
            method = getattr(self, f"_{handler.command.lower()}", None)
            if method is None:
                handler.body()
                handler.reply(405)
            else:
                method(handler, found["name"], found["upload"])
        elif found := _BLOB.fullmatch(path):
            self._blob(handler, found["name"], found["digest"])
        elif found := _MANIFEST.fullmatch(path):
            self._manifest(handler, found["target"])
        else:
            handler.reply(404)

    def _trouble(self, handler: Handler) -> bool:
        for number, trouble in enumerate(self.habits.troubles):
            if self._left[number] and trouble.method == handler.command and "/blobs/" in handler.path:
                self._left[number] -= 1
                if trouble.cut is None:
                    handler.body()
                    handler.reply(trouble.status, trouble.headers)
                else:
                    handler.rfile.read(trouble.cut)
                    handler.close_connection = True
                return True
        return False

    def _limit(self, handler: Handler) -> bool:
        """As nginx: the answer may come before the body was read, and the rest of the body is then thrown away."""
        size = int(handler.headers.get("Content-Length") or 0)
        if self.habits.body is None or size <= self.habits.body:
            self.largest = max(self.largest, size)
            return False
        if not self.habits.early:
            handler.body()
        handler.reply(413, {"Connection": "close"}, b"<html>413 Request Entity Too Large</html>")
        if self.habits.early == "then reads on":
            handler.body()
        handler.close_connection = True
        return True

    def _redirect(self, handler: Handler) -> bool:
        if handler.command not in self.habits.redirects or "moved" in handler.path:
            return False
        handler.body()
        mark = "&" if "?" in handler.path else "?"
        handler.reply(self.habits.redirect, {"Location": f"{handler.path}{mark}moved=1"})
        return True

    def _post(self, handler: Handler, name: str, _upload: str) -> None:
        handler.body()
        if "mount=" in handler.path and self.habits.mounts != 202:
            self.mounted.add(name)
            handler.reply(self.habits.mounts)
            return
        upload = str(self._opened)
        self._opened += 1
        self.uploads[upload] = bytearray()
        least = {"OCI-Chunk-Min-Length": str(self.habits.least)} if self.habits.least else {}
        place = self.habits.location(self.address, f"/v2/{name}/blobs/uploads/{upload}")
        handler.reply(self.habits.statuses.get("POST", 202), {"Location": place, "Range": "0-0", **least})

    def _get(self, handler: Handler, _name: str, upload: str) -> None:
        if upload not in self.uploads:
            handler.reply(404)
            return
        has = len(self.uploads[upload])
        handler.reply(204, {"Range": self.habits.range(has, self._first.get(upload, has))})

    def _patch(self, handler: Handler, _name: str, upload: str) -> None:
        size, data = int(handler.headers.get("Content-Length") or 0), handler.body()
        held = self.uploads.get(upload)
        if self.habits.patch:
            handler.reply(self.habits.patch)
        elif held is None or self._chunks.get(upload, 0) == self.habits.forgets:
            self.uploads.pop(upload, None)
            handler.reply(404, data=b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN", "message": "who?"}]}')
        elif (self.habits.stumbles and len(held) >= 2 * size) or (
            self.habits.chunk is not None and size > self.habits.chunk and "Content-Range" in handler.headers
        ):
            handler.reply(416)
        elif handler.headers.get("Content-Range") not in (None, f"{len(held)}-{len(held) + size - 1}"):
            handler.reply(416, {"Range": f"0-{len(held) - 1}"})
        else:
            self._chunks[upload] = self._chunks.get(upload, 0) + 1
            held += data
            first = self._first.setdefault(upload, len(held))
            place = self.habits.location(self.address, urlsplit(handler.path).path)
            headers = {"Location": place, "Range": self.habits.range(len(held), first)}
            handler.reply(self.habits.statuses.get("PATCH", 202), headers)

    def _put(self, handler: Handler, _name: str, upload: str) -> None:
        held, data = self.uploads.get(upload), handler.body()
        digest = parse_qs(urlsplit(handler.path).query).get("digest", [""])[0]
        if held is None:
            handler.reply(404, data=b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN", "message": "who?"}]}')
        elif sha256_digest(bytes(held + data)) != digest:
            handler.reply(400, data=b'{"errors": [{"code": "DIGEST_INVALID", "message": "other bytes"}]}')
        else:
            self.blobs[digest] = bytes(held + data)
            del self.uploads[upload]
            handler.reply(self.habits.statuses.get("PUT", 201))

    def _delete(self, handler: Handler, _name: str, upload: str) -> None:
        handler.reply(self.habits.statuses.get("DELETE", 204) if self.uploads.pop(upload, None) is not None else 404)

    def _blob(self, handler: Handler, name: str, digest: str) -> None:
        """Of a repository that has it: "two" has what it mounts, all others have what any was sent."""
        there = digest in self.blobs and not self.habits.blind and (name != "two" or name in self.mounted)
        handler.reply(self.habits.statuses.get("HEAD", 200) if there else 404)

    def _manifest(self, handler: Handler, target: str) -> None:
        if handler.command == "PUT":
            self.manifests[target] = handler.body()
            handler.reply(self.habits.statuses.get("PUT", 201))
        else:
            handler.reply(200 if target in self.manifests else 404)
