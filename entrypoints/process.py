"""The parts put together, and their order at the end: drain, answer what was taken in, stop."""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import socket
from typing import TYPE_CHECKING

from entrypoints.app import App
from entrypoints.channel import Channel
from entrypoints.ending import finish
from entrypoints.generate import Generate
from entrypoints.link import ModelLink
from entrypoints.log import log_event
from entrypoints.settings import Settings
from entrypoints.status import Status
from entrypoints.telemetry import Telemetry
from entrypoints.timeline import Timeline

if TYPE_CHECKING:
    from entrypoints.listener import Listener

IMPATIENT = 128 + signal.SIGTERM
"""The exit code of a second signal: what was in flight is lost."""


class Process:
    """The process that talks to clients. The model lives in another one, at the other end of the link."""

    def __init__(self, settings: Settings, timeline: Timeline, channel: Channel, model_process: int) -> None:
        self._settings = settings
        self._timeline = timeline
        self._status = Status()
        self._telemetry = Telemetry(timeline, self._status, model_process)
        self._link = ModelLink(settings, self._status, timeline, channel, model_process)
        self._generate = Generate(self._status, self._link, self._telemetry)

    async def serve(self, listening: socket.socket) -> None:
        from entrypoints.listener import Listener

        app = App(self._link, self._status, self._telemetry, self._generate, self._settings.heartbeat)
        listener = Listener(app, self._become_live)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, listener)
        self._status.failed.add_done_callback(lambda _: loop.call_soon_threadsafe(self._check_fault))
        self._link.start()
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
            asyncio.get_running_loop().call_later(self._settings.fault_linger, finish, fault.exit_code)

    def _stop(self, listener: Listener) -> None:
        if self._status.fault is not None:
            finish(self._status.fault.exit_code)
        if self._status.state == "draining":
            finish(IMPATIENT)
        self._status.drain()
        log_event("draining", in_flight=self._telemetry.in_flight, grace=self._settings.grace)
        self._draining = asyncio.ensure_future(self._drain(listener))

    async def _drain(self, listener: Listener) -> None:
        cut_off = await self._generate.drain(self._settings.grace)
        log_event("stopped", cut_off=cut_off)
        listener.should_exit = True
