"""Starts the process of a model that was unloaded, or that was never loaded.

It is a program of its own (``entrypoints.model_program``): a fork of the server process would inherit its threads' locks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NamedTuple

from entrypoints.processes.channel import Channel
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


class Started(NamedTuple):
    """``seconds``: from the start of the process until it was ready."""

    link: ModelLink
    timeline: Timeline
    seconds: float


async def start_model(model: ServedModel, settings: Settings, manner: str) -> Started:
    """A new process of the model, which is ready. ``manner``: of ``entrypoints.server.residency.manners``. Raises HTTPException
    (500) with the reason if it cannot be loaded."""
    status, timeline = Status(), Timeline()
    try:
        ours, output, process = start_process(model.name, settings, manner)
    except OSError as error:
        message = f"The model {model.label} cannot be loaded: no process can be started: {error.strerror}."
        raise HTTPException(error_response(500, message)) from None
    link = ModelLink(
        name=model.name,
        workers=settings.workers,
        hang_margin=settings.hang_margin,
        status=status,
        timeline=timeline,
        channel=Channel(ours),
        process=process,
    )
    ModelOutput(output, model.name, lambda _line: None).follow(asyncio.get_running_loop())
    link.start()
    try:
        decided = await wait_until_done(status.decided, settings.start_timeout or None)
    except BaseException:
        await abandon(link)
        raise
    if status.state == "ready":
        return Started(link, timeline, timeline.ready_seconds or 0.0)
    await abandon(link)
    reason = status.reason if decided else f"it was not ready after {settings.start_timeout:g} s"
    raise HTTPException(error_response(500, f"The model {model.label} cannot be loaded: {reason}."))


async def abandon(link: ModelLink) -> None:
    """End a process that did not become ready: it may be stuck."""
    link.retire()
    with suppress(ProcessLookupError):
        os.kill(link.process, signal.SIGKILL)
    await asyncio.to_thread(link.wait_until_ended, END_SECONDS)


def start_process(name: str, settings: Settings, manner: str) -> tuple[socket.socket, int, int]:
    """Our end of its channel, the pipe that it prints to, and its id. Raises OSError.

    Not by ``subprocess``: that collects the end of a process, which the link does.
    """
    ours, theirs = socket.socketpair()
    output, stderr = os.pipe()
    try:
        for descriptor in (theirs.fileno(), stderr):
            os.set_inheritable(descriptor, True)
        options = sys.orig_argv[1 : sys.orig_argv.index("-m")] if "-m" in sys.orig_argv else []
        arguments = [name, str(theirs.fileno()), str(stderr), settings.host, str(settings.port), manner]
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
