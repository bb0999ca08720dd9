"""``grpc.health.v1.Health``: what Kubernetes' gRPC probes and load balancers ask (github.com/grpc/grpc/blob/master/doc/
health-checking.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from entrypoints.open_inference.grpc.messages import decode, encode
from entrypoints.processes.status import Status
from entrypoints.response import HTTPException, Response, error_response, exhausted_response
from entrypoints.server.grpc.methods import SERVICE

if TYPE_CHECKING:
    from entrypoints.server.served_model import ServedModel

LIVE_SERVICE = "live"
"""The name for liveness: a model that loads is live, and not ready."""
MAX_WATCHES = 64
WATCH_SECONDS = 0.5
"""How long a change of state takes at most to reach those who watch."""


class Health:
    def __init__(self, models: Sequence[ServedModel], status: Status) -> None:
        self._models = models
        self._status = status
        self._watches = 0

    @property
    def is_live(self) -> bool:
        return self._status.state != "failed"

    @property
    def is_ready(self) -> bool:
        return self._status.state == "ready"

    def find(self, service: str) -> str:
        """The state of a service: of the server (empty, or the protocol's name), of ``live``, or of a model by its name."""
        if service in ("", SERVICE):
            serves = self.is_ready
        elif service == LIVE_SERVICE:
            serves = self.is_live
        elif models := [model for model in self._models if model.label == service]:
            serves = models[0].accepts
        else:
            return "SERVICE_UNKNOWN"
        return "SERVING" if serves else "NOT_SERVING"

    def check(self, message: bytes) -> Response:
        """Raises NotProtobuf."""
        service = decode("HealthCheckRequest", message).get("service", "")
        state = self.find(service)
        if state == "SERVICE_UNKNOWN":
            names = ", ".join(filter(None, (SERVICE, LIVE_SERVICE, *(model.label for model in self._models))))
            return error_response(404, f"There is no service {service[:60]!r}; there are: {names}.")
        return Response(200, encode("HealthCheckResponse", {"status": state}))

    async def watch(self, message: bytes) -> AsyncIterator[bytes]:
        """The state, and each state after it, until the client goes. Raises NotProtobuf, and HTTPException if too many watch."""
        service = decode("HealthCheckRequest", message).get("service", "")
        if self._watches >= MAX_WATCHES:
            raise HTTPException(exhausted_response(f"{MAX_WATCHES} clients watch, the most; call Check.", 30))
        self._watches += 1
        try:
            told = ""
            while True:
                state = self.find(service)
                if state != told:
                    yield encode("HealthCheckResponse", {"status": state})
                    told = state
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            self._watches -= 1
