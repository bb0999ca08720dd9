"""The parts put together, and their order at the end: drain, answer what was taken in, stop."""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from entrypoints.app import App
from entrypoints.channel import Channel
from entrypoints.ending import finish
from entrypoints.log import log_event
from entrypoints.served import ServedModel, follow
from entrypoints.settings import Settings
from entrypoints.status import Status
from entrypoints.telemetry import Telemetry
from entrypoints.timeline import Timeline

if TYPE_CHECKING:
    from entrypoints.listener import Listener

IMPATIENT = 128 + signal.SIGTERM
"""The exit code of a second signal: what was in flight is lost."""


class Process:
    """The process that talks to clients. Each model lives in another one, at the other end of its link."""

    def __init__(self, settings: Settings, timeline: Timeline, ends: Mapping[str, tuple[Channel, int]]) -> None:
        """``ends``: by the model's name, the channel to its process, and that."""
        self._settings = settings
        self._timeline = timeline
        self._status = Status()
        self._telemetry = Telemetry(timeline, self._status)
        self._models = [
            ServedModel(name, settings, Status(), timeline.branch(), channel, process)
            if name
            else ServedModel(name, settings, self._status, timeline, channel, process)
            for name, (channel, process) in ends.items()
        ]
        if settings.members:
            follow(self._models, self._status, timeline)

    async def serve(self, listening: socket.socket) -> None:
        from entrypoints.listener import Listener

        app = App(self._models, self._status, self._telemetry, self._settings.heartbeat)
        listener = Listener(app, self._become_live)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, listener)
        self._status.failed.add_done_callback(lambda _: loop.call_soon_threadsafe(self._check_fault))
        for model in self._models:
            model.link.start()
        await listener.serve([listening])

    def _become_live(self) -> None:
        """Forms are parsed by a package that liveness need not wait for."""
        self._timeline.note("live", 0.0)
        with self._timeline.importing("python_multipart"):
            importlib.import_module("python_multipart.multipart")
        gc.freeze()  # what was imported lives as long as the process: no collection need look at it again
        gc.enable()

    def _check_fault(self) -> None:
        """A fault ends the process by itself, after long enough for ``/health`` to be read."""
        fault = self._status.fault
        if fault is not None:
            self._ending = asyncio.ensure_future(self._end(fault.exit_code))

    async def _end(self, code: int) -> None:
        """What the models that are well have taken in by then is answered first."""
        await asyncio.sleep(self._settings.fault_linger)
        well = [model for model in self._models if model.status.state == "ready"]
        for model in well:
            model.status.drain()
        await asyncio.gather(*(model.generate.drain(self._settings.grace) for model in well))
        finish(code)

    def _stop(self, listener: Listener) -> None:
        if self._status.fault is not None:
            finish(self._status.fault.exit_code)
        if self._status.state == "draining":
            finish(IMPATIENT)
        self._status.drain()
        for model in self._models:
            model.status.drain()
        in_flight = sum(model.usage.in_flight for model in self._models)
        log_event("draining", in_flight=in_flight, grace=self._settings.grace)
        self._draining = asyncio.ensure_future(self._drain(listener))

    async def _drain(self, listener: Listener) -> None:
        cut_off = await asyncio.gather(*(model.generate.drain(self._settings.grace) for model in self._models))
        log_event("stopped", cut_off=sum(cut_off))
        listener.should_exit = True
