"""Serves gRPC at a port of its own, in the server process's event loop.

It begins when HTTP is live, so that no start waits for it: grpcio is imported by a thread, and the port listens once the
manifests have said how large a message may be.
"""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from entrypoints.errors import PortInUse
from entrypoints.forms.limits import RequestMemory
from entrypoints.processes.log import log_event, log_exception, log_fault
from entrypoints.processes.status import Status
from entrypoints.server.http.access_log import AccessLog

if TYPE_CHECKING:
    from entrypoints.server.open_inference.endpoints import OpenInference
    from entrypoints.server.served_model import ServedModel
    from entrypoints.server.tracing.tracer import Tracer
    from entrypoints.server.usage import ServerUsage
    from entrypoints.settings import Settings

IMPORT_NICENESS = 10
"""The import gives way to the start of the model, which may need every processor. With a lower priority it would keep the
interpreter's lock from the event loop for long."""
MANIFEST_CHECK_SECONDS = 0.02
ENVELOPE_BYTES = 64 * 1024
"""How much larger a message may be than a request over REST: names, datatypes and shapes."""
MAX_STREAMS = 128
"""Calls that one connection may have open."""
SECOND = 1000
OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.so_reuseport", 0),  # a second server at the port is an error, not half of the calls
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.http2.bdp_probe", 0),  # it lets the windows of streams grow: a call that waits would hold megabytes
    ("grpc.http2.lookahead_bytes", 64 * 1024),
    ("grpc.http2.min_ping_interval_without_data_ms", 10 * SECOND),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.keepalive_time_ms", 30 * SECOND),
    ("grpc.keepalive_timeout_ms", 10 * SECOND),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_connection_idle_ms", 300 * SECOND),
    ("grpc.server_handshake_timeout_ms", 5 * SECOND),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: a small message could become any size
)


class GrpcServer:
    def __init__(
        self,
        models: Sequence[ServedModel],
        status: Status,
        settings: Settings,
        usage: ServerUsage,
        memory: RequestMemory,
        tracer: Tracer | None,
        find_protocol: Callable[[], OpenInference],
    ) -> None:
        """``tracer``: None if no traces are sent. ``find_protocol`` gives the endpoints that REST uses."""
        self._models = models
        self._status = status
        self._settings = settings
        self._usage = usage
        self._memory = memory
        self._tracer = tracer
        self._find_protocol = find_protocol
        self._server: Any = None
        self._starting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._starting = asyncio.ensure_future(self._start())

    async def stop(self, seconds: float) -> None:
        """Calls in flight were waited for before."""
        if self._starting is not None:
            self._starting.cancel()
        if self._server is not None:
            await self._server.stop(seconds)

    async def _start(self) -> None:
        try:
            await run_in_new_thread(import_grpc)
            while not all(model.timeline.manifest for model in self._models):
                await asyncio.sleep(MANIFEST_CHECK_SECONDS)
            await self._listen()
        except Exception as error:
            if not isinstance(error, PortInUse):
                log_exception(error, "gRPC")
            fault = error if isinstance(error, PortInUse) else PortInUse(f"gRPC cannot be served: {error}")
            self._status.fail(fault, log_fault)

    async def _listen(self) -> None:
        import grpc

        from entrypoints.server.grpc.health import Health
        from entrypoints.server.grpc.intake import Intake
        from entrypoints.server.grpc.service import Service

        limits = [model.generate.limits for model in self._models]
        largest = max(each.body_bytes for each in limits) + ENVELOPE_BYTES
        service = Service(
            self._find_protocol(),
            Health(self._models, self._status),
            Intake(self._memory, largest),
            AccessLog(self._settings.access_log),
            self._usage,
            self._tracer,
            max(each.seconds for each in limits),
        )
        options = [
            *OPTIONS,
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_allowed_incoming_connections", compute_bound(self._settings.max_connections)),
        ]
        server = grpc.aio.server(handlers=[service], options=options)
        host, port = self._settings.host, self._settings.grpc_port
        shown = f"[{host}]" if ":" in host else host
        try:
            port = server.add_insecure_port(f"{shown}:{port}")
        except RuntimeError as error:
            raise PortInUse(f"{host} port {port}, for gRPC: {error}") from None
        await server.start()
        self._server = server
        log_event("grpc live", address=f"grpc://{shown}:{port}")


def import_grpc() -> None:
    """In a thread of its own: it lowers the thread's priority."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), IMPORT_NICENESS)
    # gRPC's core logs plain text, at a client's wish too. Every line of this log is JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

    import entrypoints.server.grpc.service
    import entrypoints.server.open_inference.endpoints  # noqa: F401


def compute_bound(maximum: int) -> int:
    """How many connections may be open: HTTP leaves a quarter of the limit of open files, gRPC takes half of that."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return maximum or 1_000_000
    return min(maximum or files, max(8, files // 8))


async def run_in_new_thread(function: Callable[[], None]) -> None:
    """Not in a thread of the loop's pool, which would keep the priority. Raises what the function raises, and RuntimeError if no
    thread can be started."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            function()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="import grpc", daemon=True).start()
    await asyncio.wrap_future(done)
