"""Unloads a model, so that its memory is free for others, and loads it again: by its process, which ends and is started again.

The process that is started later is a program of its own (``entrypoints.model_program``): a fork of the server process would
inherit its threads' locks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

from entrypoints.processes.channel import Channel
from entrypoints.processes.log import log_event
from entrypoints.processes.model_output import ModelOutput
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.response import HTTPException, error_response
from entrypoints.server.model_link import ModelLink
from entrypoints.server.receiving import wait_until_done
from entrypoints.server.served_model import ServedModel
from entrypoints.settings import Settings

PROGRAM = "entrypoints.model_program"
END_SECONDS = 5.0
"""How long a model process that has nothing to do may take to end."""
UNLOADED_REASON = "the model was unloaded"


class Residency:
    """The models that are loaded. Its methods run in the event loop; those about one model wait for one another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._locks: dict[str, asyncio.Lock] = {}

    async def unload(self, model: ServedModel) -> None:
        """New requests are refused at once, those that were accepted are answered. Does nothing if the model is unloaded.

        Raises HTTPException (503) if the model has not started.
        """
        async with self._lock(model):
            self._require_started(model)
            if model.availability == "unloaded":
                return
            model.availability = "unloading"
            cut_off = await model.generate.drain(self._settings.grace_period, UNLOADED_REASON)
            model.link.retire()
            await asyncio.to_thread(model.link.wait_until_ended, END_SECONDS)
            model.availability = "unloaded"
            log_event("unloaded", model=model.label, cut_off=cut_off)

    async def load(self, model: ServedModel) -> None:
        """Does nothing if the model is loaded. Raises HTTPException: 503 if it has not started or the server stops, 500 with the
        reason if it cannot be loaded; it stays unloaded then."""
        async with self._lock(model):
            self._require_started(model)
            if model.availability == "loaded":
                return
            model.availability = "loading"
            try:
                link, seconds = await self._start(model)
            except BaseException:
                model.availability = "unloaded"
                raise
            model.link = link
            model.availability = "loaded"
            log_event("loaded", model=model.label, seconds=round(seconds, 3))

    def _lock(self, model: ServedModel) -> asyncio.Lock:
        return self._locks.setdefault(model.name, asyncio.Lock())

    @staticmethod
    def _require_started(model: ServedModel) -> None:
        if model.status.state != "ready":
            reason = f"The model {model.label} is {model.status.state}: {model.status.reason}."
            raise HTTPException(error_response(503, reason))

    async def _start(self, model: ServedModel) -> tuple[ModelLink, float]:
        """The link to a new model process that is ready, and the seconds that its start took."""
        status, timeline = Status(), Timeline()
        try:
            ours, output, process = start_process(model.name, self._settings)
        except OSError as error:
            message = f"The model {model.label} cannot be loaded: no process can be started: {error.strerror}."
            raise HTTPException(error_response(500, message)) from None
        link = ModelLink(
            name=model.name,
            workers=self._settings.workers,
            hang_margin=self._settings.hang_margin,
            status=status,
            timeline=timeline,
            channel=Channel(ours),
            process=process,
        )
        ModelOutput(output, model.name, lambda _line: None).follow(asyncio.get_running_loop())
        link.start()
        try:
            decided = await wait_until_done(status.decided, self._settings.start_timeout or None)
        except BaseException:
            await abandon(link)
            raise
        if status.state == "ready":
            # From now on its end is the model's, as that of the first process.
            status.failed.add_done_callback(lambda _: status.fault and model.status.fail(status.fault))
            return link, timeline.ready_seconds or 0.0
        await abandon(link)
        reason = status.reason if decided else f"it was not ready after {self._settings.start_timeout:g} s"
        raise HTTPException(error_response(500, f"The model {model.label} cannot be loaded: {reason}."))


async def abandon(link: ModelLink) -> None:
    """End a process that did not become ready: it may be stuck."""
    link.retire()
    with suppress(ProcessLookupError):
        os.kill(link.process, signal.SIGKILL)
    await asyncio.to_thread(link.wait_until_ended, END_SECONDS)


def start_process(name: str, settings: Settings) -> tuple[socket.socket, int, int]:
    """Our end of its channel, the pipe that it prints to, and its id. Raises OSError.

    Not by ``subprocess``: that collects the end of a process, which the link does.
    """
    ours, theirs = socket.socketpair()
    output, stderr = os.pipe()
    try:
        for descriptor in (theirs.fileno(), stderr):
            os.set_inheritable(descriptor, True)
        options = sys.orig_argv[1 : sys.orig_argv.index("-m")] if "-m" in sys.orig_argv else []
        arguments = [name, str(theirs.fileno()), str(stderr), settings.host, str(settings.port)]
        command = [sys.executable, *options, "-m", PROGRAM, *arguments]
        process = os.posix_spawn(sys.executable, command, os.environ, setsigmask=())
    except BaseException:
        ours.close()
        os.close(output)
        raise
    finally:
        theirs.close()
        os.close(stderr)
    return ours, output, process
