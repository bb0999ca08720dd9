"""A server before a real registry, which passes requests on and has some of them go wrong."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from prebake.oci.blobs.blobs import INDEX, MANIFEST
from tests.support.registry_servers.server import Handler, Server
from tests.support.registry_servers.tokens import TokenServer

_PART = 1 << 16
_IMMUTABLE = b'{"errors": [{"code": "TAG_INVALID", "message": "the image tag already exists and is immutable"}]}'


@dataclass
class Fault:
    """What ``times`` requests of a method get. ``cut`` and ``stall``: after so many bytes of the request's body;
    ``truncate``: after so many of the answer's; ``lose``: before the answer, which the registry has given; ``corrupt``:
    the first byte of the request's body, or else of the answer's, is another one. ``status`` answers itself, with ``data``."""

    method: str
    path: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""
    cut: int | None = None
    stall: int | None = None
    truncate: int | None = None
    lose: bool = False
    corrupt: bool = False
    times: int = 1


class Front(Server):
    """Before a real registry: passes everything on, but for what ``faults`` and ``guard`` say. ``immutable``: no tag is
    written twice."""

    def __init__(self, registry: str) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.guard: TokenServer | None = None
        self.immutable = False
        self.stalling = threading.Event()
        self.release = threading.Event()
        self._registry = registry
        self._lock = threading.Lock()

    def answer(self, handler: Handler) -> None:
        fault = self._take(handler)
        if self.guard is not None and not self.guard.lets_in(handler.headers.get("Authorization", "")):
            handler.body()
            handler.reply(401, {"WWW-Authenticate": self.guard.challenge})
        elif self.immutable and self._is_tagged(handler):
            handler.body()
            handler.reply(400, data=_IMMUTABLE)
        elif fault.status is not None:
            handler.body()
            handler.reply(fault.status, fault.headers, fault.data)
        else:
            self._pass_on(handler, fault)

    def let_go(self) -> None:
        self.release.set()

    def _take(self, handler: Handler) -> Fault:
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.method == handler.command and fault.path in handler.path:
                    fault.times -= 1
                    return fault
        return Fault("")

    def _is_tagged(self, handler: Handler) -> bool:
        """Whether a tag that is there would be written again."""
        if handler.command != "PUT" or "/manifests/" not in handler.path or "/manifests/sha256:" in handler.path:
            return False
        there = http.client.HTTPConnection(self._registry, timeout=30)
        try:
            there.request("HEAD", handler.path, headers={"Accept": f"{MANIFEST}, {INDEX}"})
            return there.getresponse().status == 200
        finally:
            there.close()

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
        corrupt = fault.corrupt and not int(handler.headers.get("Content-Length") or 0)
        headers = {name: value for name, value in answer.getheaders() if name != "Transfer-Encoding"}
        if fault.lose:
            handler.close_connection = True
        elif handler.command == "HEAD" or fault.truncate is None:
            handler.reply(answer.status, headers, _other(data) if corrupt and data else data)
        else:
            handler.reply(answer.status, headers, data[: fault.truncate])
            handler.close_connection = True


def _other(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]
