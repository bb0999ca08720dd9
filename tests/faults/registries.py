"""Registries that misbehave on purpose: a real one that can be killed, a front before it, a token server, and one that
keeps the part of a piece that arrived (Debian's does not)."""

from __future__ import annotations

import base64
import http.client
import json
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from prebake.oci.blobs import sha256_digest
from tests.registry import registry_program

_PART = 1 << 16


class KillableRegistry:
    """The real one, at one address and with one storage however often it is started."""

    def __init__(self, folder: Path, auth: Mapping[str, Any] | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.storage = folder / "storage"
        self._config = folder / "killable.yml"
        self._log = folder / "killable.log"
        settings = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.storage)}, "delete": {"enabled": True}},
            "http": {"addr": self.address, "secret": "so that a restarted one knows its uploads"},
        }
        self._config.write_text(yaml.safe_dump({**settings, "auth": auth} if auth else settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [registry_program(), "serve", self._config],
                stdout=log,
                stderr=log,
                env={"OTEL_TRACES_EXPORTER": "none"},
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"the registry did not start: {self._log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def unfinished(self) -> list[Path]:
        """Bytes of uploads that it still holds (a cancelled one leaves a hash state)."""
        return sorted(self.storage.glob("docker/registry/v2/repositories/**/_uploads/*/data"))

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code == 401
        except OSError:
            return False
        return True


@contextmanager
def killable_registry(folder: Path, auth: Mapping[str, Any] | None = None) -> Iterator[KillableRegistry]:
    registry = KillableRegistry(folder, auth)
    registry.start()
    try:
        yield registry
    finally:
        registry.kill()


@dataclass
class Fault:
    """What ``times`` requests of a method get. ``cut`` and ``stall``: after so many bytes of the request's body;
    ``truncate``: after so many of the answer's; ``lose``: before the answer, which the registry has given; ``corrupt``:
    the first byte of either is another one. ``status`` answers itself."""

    method: str
    path: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: int | None = None
    truncate: int | None = None
    lose: bool = False
    corrupt: bool = False
    times: int = 1


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]


class Server:
    """A server on loopback that remembers the requests."""

    def __init__(self) -> None:
        self.address = ""
        self.seen: list[Seen] = []

    def requests(self, method: str, path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and path in seen.path]

    def answer(self, handler: Handler) -> None:
        raise NotImplementedError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, headers: Mapping[str, str] | None = None, data: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...


class Front(Server):
    """Before a real registry: passes everything on, but for what ``faults`` and ``guard`` say."""

    def __init__(self, registry: str) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.guard: TokenServer | None = None
        self.stalling = threading.Event()
        self.release = threading.Event()
        self._registry = registry
        self._lock = threading.Lock()

    def answer(self, handler: Handler) -> None:
        fault = self._take(handler)
        if self.guard is not None and not self.guard.lets_in(handler.headers.get("Authorization", "")):
            handler.body()
            handler.reply(401, {"WWW-Authenticate": self.guard.challenge})
        elif fault.status is not None:
            handler.body()
            handler.reply(fault.status, fault.headers)
        else:
            self._pass_on(handler, fault)

    def _take(self, handler: Handler) -> Fault:
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.method == handler.command and fault.path in handler.path:
                    fault.times -= 1
                    return fault
        return Fault("")

    def _pass_on(self, handler: Handler, fault: Fault) -> None:
        there = http.client.HTTPConnection(self._registry, timeout=30)
        try:
            there.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                there.putheader(name, value)
            there.endheaders()
            if self._pass_body(handler, there, fault):
                self._pass_back(handler, there.getresponse(), fault)
        finally:
            there.close()

    def _pass_body(self, handler: Handler, there: http.client.HTTPConnection, fault: Fault) -> bool:
        left = int(handler.headers.get("Content-Length") or 0)
        limit = next((each for each in (fault.cut, fault.stall) if each is not None), left)
        done = 0
        while done < min(left, limit):
            data = handler.rfile.read(min(_PART, min(left, limit) - done))
            if not data:
                return False
            there.send(_other(data) if fault.corrupt and done == 0 else data)
            done += len(data)
        if fault.stall is not None:
            self.stalling.set()
            self.release.wait(60)
        whole = fault.cut is None and fault.stall is None
        handler.close_connection = not whole
        return whole

    def _pass_back(self, handler: Handler, answer: http.client.HTTPResponse, fault: Fault) -> None:
        data = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name != "Transfer-Encoding"}
        if fault.lose:
            handler.close_connection = True
        elif handler.command == "HEAD" or fault.truncate is None:
            handler.reply(answer.status, headers, _other(data) if fault.corrupt and data else data)
        else:
            handler.reply(answer.status, headers, data[: fault.truncate])
            handler.close_connection = True


class TokenServer(Server):
    """Gives tokens for a name and a password, or for an identity token."""

    def __init__(self, username: str, password: str, identity_token: str = "", expires_in: float = 300) -> None:
        super().__init__()
        self._basic = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._identity_token = identity_token
        self._expires_in = expires_in
        self.given: list[str] = []
        self.valid: set[str] = set()
        self.useless = False
        self.asked: list[dict[str, list[str]]] = []

    @property
    def challenge(self) -> str:
        return f'Bearer realm="http://{self.address}/token",service="the registry, here"'

    def lets_in(self, authorization: str) -> bool:
        return authorization.removeprefix("Bearer ") in self.valid and not self.useless

    def answer(self, handler: Handler) -> None:
        form = parse_qs(handler.body().decode() or urlsplit(handler.path).query)
        self.asked.append(form)
        by_name = handler.command == "GET" and handler.headers.get("Authorization") == self._basic
        by_token = handler.command == "POST" and form.get("refresh_token") == [self._identity_token]
        if not by_name and not by_token:
            handler.reply(401, data=b'{"errors": [{"code": "UNAUTHORIZED", "message": "no such user"}]}')
            return
        token = secrets.token_urlsafe(24)
        self.given.append(token)
        self.valid.add(token)
        document = {"access_token" if by_token else "token": token, "expires_in": self._expires_in}
        handler.reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


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


@contextmanager
def served(server: Server) -> Iterator[None]:
    """Run a server on a free port for the length of a block."""

    class Bound(Handler):
        def handle_any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.seen.append(Seen(self.command, self.path, headers))
            try:
                server.answer(self)
            except OSError:  # whoever asked, or the registry behind, went away
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815  (http.server's names)

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away in the middle is what these tests are about."""

    listener = Listener(("127.0.0.1", 0), Bound)
    server.address = f"127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        if isinstance(server, Front):
            server.release.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


def _other(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]
