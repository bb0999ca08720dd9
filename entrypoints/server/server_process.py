"""The process that talks to clients: it listens, answers liveness, and drains before it ends."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import socket
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from entrypoints.errors import Fault
from entrypoints.forms.limits import RequestMemory
from entrypoints.processes.channel import Channel
from entrypoints.processes.exit import finish
from entrypoints.processes.log import log_event, log_loop_error
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.app import App
from entrypoints.server.served_model import ServedModel, follow_models
from entrypoints.server.usage import ServerUsage
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.server.grpc.grpc_server import GrpcServer
    from entrypoints.server.http.listener import Listener
    from entrypoints.server.residency.residency import Residency
    from entrypoints.server.tracing.server_tracing import ServerTracing

FORCED_EXIT_CODE = 128 + signal.SIGTERM
"""The exit code after a second signal: requests in flight are lost."""
SHORTEST_FLUSH_SECONDS, LONGEST_FLUSH_SECONDS = 1.0, 5.0
"""How long the end waits for the last traces to be sent."""

GRPC_STOP_SECONDS = 2.0
"""How long calls of gRPC may still take, after the requests in flight were waited for."""


class ServerProcess:
    """Each model is in another process, at the other end of its link."""

    def __init__(
        self,
        settings: Settings,
        timeline: Timeline,
        models: Mapping[str, tuple[Channel, int]],
        outputs: Mapping[str, int],
    ) -> None:
        """``models``: by name, the channel to the model process, and its id; without those that requests load later.
        ``outputs``: by name, the pipe that it prints to."""
        self._settings = settings
        self._timeline = timeline
        self._status = Status()
        memory = self._memory = RequestMemory()
        self._usage = ServerUsage(memory)
        self._status.decided.add_done_callback(lambda _: self._measure_free_memory())
        self._residency: Residency | None = None
        self._models = [self._make_model(name, models.get(name), memory) for name in settings.model_names or ("",)]
        self._unloaded = [model for model in self._models if model.name not in models]
        self._outputs = outputs
        self._tracing: ServerTracing | None = None
        self._drain_deadline = math.inf
        """By the loop's clock: the end of the grace period."""
        self._grpc: GrpcServer | None = None
        if settings.model_names:
            follow_models(self._models, self._status, timeline)

    def _make_model(self, name: str, process: tuple[Channel, int] | None, memory: RequestMemory) -> ServedModel:
        channel, number = process or (make_closed_channel(), 0)
        model = ServedModel(
            name=name,
            settings=self._settings,
            status=Status() if name else self._status,
            timeline=self._timeline.branch() if name else self._timeline,
            channel=channel,
            process=number,
            memory=memory,
        )
        model.find_residency = self._find_residency
        return model

    def _find_residency(self) -> Residency:
        if self._residency is None:
            from entrypoints.server.residency import residency  # late: most containers load and unload nothing

            self._residency = residency.Residency(self._models, self._settings)
        return self._residency

    async def serve(self, listening: socket.socket) -> None:
        from entrypoints.server.http.listener import Listener

        app = self._app = App(self._models, self._status, self._timeline, self._usage, self._settings)
        listener = self._listener = Listener(app, self._settings, self._usage, self._become_live)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, listener)
        self._status.failed.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end_if_failed))
        loop.set_exception_handler(log_loop_error)
        for model in self._models:
            if model.name:
                model.recover = model.link.recover = partial(self._recover, loop, model)
            if model not in self._unloaded:
                model.link.start()
        await listener.serve([listening])
        await self._end_tracing(self._drain_deadline - loop.time())

    def _measure_free_memory(self) -> None:
        """As the model processes do (``Preload.measure_free_memory``)."""
        from entrypoints.hardware.container_memory import find_request_memory

        self._memory.total = find_request_memory(self._settings.request_memory) // 2

    def _become_live(self) -> None:
        """Do what liveness need not wait for: log the address, read the output of the model processes."""
        self._timeline.end_phase("live", 0.0)
        self._prepare_unloaded()
        log_event("live", address=self._settings.address)
        from entrypoints.server.start_watch import StartWatch

        self._watch = StartWatch(self._models, self._outputs, self._settings.start_timeout)
        self._watch.begin(asyncio.get_running_loop())
        if self._settings.telemetry:
            self._begin_tracing()
        gc.freeze()  # imported objects live as long as the process: no collection need look at them again
        gc.enable()
        if self._settings.grpc_port >= 0:
            self._begin_grpc()

    def _prepare_unloaded(self) -> None:
        if self._unloaded:
            from entrypoints.server.residency import preloading  # late: most containers load all models

            for model in self._unloaded:
                preloading.prepare_unloaded(model, self._settings)
        if self._settings.idle_seconds:
            self._find_residency().watch_idle()

    def _recover(self, loop: asyncio.AbstractEventLoop, model: ServedModel, fault: Fault) -> None:
        """The process of one of several models has ended. From any thread."""
        loop.call_soon_threadsafe(lambda: self._find_residency().revive(model, fault))

    def _begin_grpc(self) -> None:
        from entrypoints.server.grpc.grpc_server import GrpcServer  # images without gRPC do not have it

        tracer = self._tracing.tracer if self._tracing is not None else None
        common = self._models, self._status, self._settings, self._usage, self._memory, tracer
        self._grpc = GrpcServer(*common, lambda: self._app.protocol)
        self._grpc.begin()

    def _begin_tracing(self) -> None:
        """Before the first request is accepted."""
        from entrypoints.server.tracing.server_tracing import begin_tracing  # late: most servers send no traces

        tracing = begin_tracing(self._settings, self._models, self._status, self._timeline, self._usage)
        if tracing is not None:
            self._tracing, self._listener.tracer = tracing, tracing.tracer

    async def _end_tracing(self, seconds: float) -> None:
        """Send the last spans. At least a short time, although requests have used up the grace period."""
        if self._tracing is not None:
            await self._tracing.close(min(LONGEST_FLUSH_SECONDS, max(SHORTEST_FLUSH_SECONDS, seconds)))

    def _end_if_failed(self) -> None:
        """A fault ends the process, after long enough for ``/health`` to be read."""
        fault = self._status.fault
        if fault is not None:
            self._ending = asyncio.ensure_future(self._end(fault.exit_code))

    async def _end(self, code: int) -> None:
        """Other models answer first what they have accepted by then."""
        await asyncio.sleep(self._settings.failure_exit_delay)
        healthy = [model for model in self._models if model.status.state == "ready"]
        for model in healthy:
            model.status.drain()
        await asyncio.gather(*(model.generate.drain(self._settings.grace_period) for model in healthy))
        await self._end_tracing(SHORTEST_FLUSH_SECONDS)
        finish(code)

    def _stop(self, listener: Listener) -> None:
        if self._status.fault is not None:
            finish(self._status.fault.exit_code)
        if self._status.state == "draining":
            finish(FORCED_EXIT_CODE)
        self._status.drain()
        for model in self._models:
            model.status.drain()
        self._drain_deadline = asyncio.get_running_loop().time() + self._settings.grace_period
        in_flight = sum(model.usage.unanswered for model in self._models)
        log_event("draining", in_flight=in_flight, grace=self._settings.grace_period)
        self._draining = asyncio.ensure_future(self._drain(listener))

    async def _drain(self, listener: Listener) -> None:
        cut_off = await asyncio.gather(*(model.generate.drain(self._settings.grace_period) for model in self._models))
        if self._grpc is not None:
            await self._grpc.stop(GRPC_STOP_SECONDS)
        log_event("stopped", cut_off=sum(cut_off))
        listener.stop()


def make_closed_channel() -> Channel:
    """A channel at its end, for a model without a process."""
    ours, theirs = socket.socketpair()
    theirs.close()
    channel = Channel(ours)
    channel.close()
    return channel
