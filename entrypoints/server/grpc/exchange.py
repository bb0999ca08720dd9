"""One call: what the client sent, and the line of the access log about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from entrypoints.processes.log import show_client
from entrypoints.response import Response
from entrypoints.server.http.access_log import CLIENT_CLOSED_REQUEST, RequestRecord
from entrypoints.server.http.request_identity import describe_request
from entrypoints.server.response_writer import Message


class GrpcExchange:
    def __init__(
        self, path: str, metadata: Sequence[tuple[str, str | bytes]], peer: str, *, route: str, is_probe: bool
    ) -> None:
        """``peer``: the client's address as gRPC writes it. ``route``: as metrics name the path."""
        self.path = path
        self.headers = [(name.encode(), to_bytes(value)) for name, value in metadata]
        self.details = describe_request(self.headers)
        self.state: dict[str, Any] = {"route": route, "probe": is_probe}
        """For the access log, metrics and traces, with the keys that ``scope["state"]`` has for HTTP."""
        self.bytes_in = 0
        self.body: bytes | None = None
        self._client = read_peer(peer)
        self._began = asyncio.get_running_loop().time()
        self._left = asyncio.Event()

    async def receive(self) -> Message:
        """ASGI's ``receive``: gives the body, which came before, then the client's disconnect."""
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        """The client cancelled the call, its deadline has passed, or it is gone."""
        self._left.set()

    def record(self, response: Response | None, status: str) -> RequestRecord:
        """``status``: gRPC's."""
        http_status = CLIENT_CLOSED_REQUEST if response is None else response.status
        return RequestRecord(
            method="POST",
            path=self.path,
            status=http_status,
            outcome=http_status,
            seconds=asyncio.get_running_loop().time() - self._began,
            bytes_in=self.bytes_in,
            bytes_out=len(response.body) if response is not None and response.status == 200 else 0,
            client=self._client,
            details={**self.details, "grpc_status": status},
            state=self.state,
        )


def to_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


def read_peer(peer: str) -> str:
    """The address in ``ipv4:192.0.2.1:5000`` or ``ipv6:%5B::1%5D:5000``."""
    host = unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
    return show_client(host) if host else peer[:100]
