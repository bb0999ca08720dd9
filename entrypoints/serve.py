"""The server: bind at once, preload beside, answer meanwhile, stop in order. ``python3 -m entrypoints.serve``.

Imports here are the few that the bind needs; the rest comes after it, while connections already queue.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from entrypoints.ending import finish
from entrypoints.timeline import Timeline

if TYPE_CHECKING:
    from entrypoints.settings import Settings

BACKLOG = 2048


def main() -> NoReturn:
    timeline = Timeline()
    timeline.note("launch", 0.0)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports to its makers from 1.29 on, if let
    # OpenBLAS's threads, made as numpy is imported, sleep at once: by default they spin for 30 ms, on the second core.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    gc.disable()  # until ready: imports make many objects and no garbage
    sys.setswitchinterval(0.001)  # the loop's wait for the interpreter's lock, five times shorter while others import
    signal.signal(signal.SIGTERM, stop_early)
    signal.signal(signal.SIGINT, stop_early)
    from entrypoints.settings import read_settings

    try:
        settings = read_settings(os.environ)
        with timeline.phase("bind"):
            listening = bind(settings)
    except Exception as error:
        end_with(error)
    run(settings, timeline, listening)


def stop_early(_number: int, _frame: FrameType | None) -> None:
    """Before the loop runs nothing is in flight. Without a handler process 1 ignores the signal (pid_namespaces(7))."""
    finish(0)


def bind(settings: Settings) -> socket.socket:
    """Raises PortInUse, for that and every other reason why the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol by name: asyncio sets TCP_NODELAY only then, and without it a body waits 40 ms behind its headers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        from entrypoints.faults import PortInUse

        raise PortInUse(f"{settings.host} port {settings.port}: {error.strerror or error}") from None
    return listening


def run(settings: Settings, timeline: Timeline, listening: socket.socket) -> NoReturn:
    """Two processes from here on: the model's, and this one, which talks to clients (docs/decisions/0011). Of several
    models each has its own (docs/decisions/0016)."""
    with timeline.phase("import entrypoints"):
        # What both processes need is imported once, on a core of its own: after the fork each would do it, side by side.
        from entrypoints import model_process  # noqa: F401
    ends: dict[str, tuple[socket.socket, int]] = {}
    for name in settings.members or ("",):
        ours, theirs = socket.socketpair()
        model = os.fork()  # nothing has a thread yet
        if model == 0:
            for other in (listening, ours, *(end for end, _ in ends.values())):
                other.close()
            run_model(settings, timeline, theirs, name)
        theirs.close()
        ends[name] = ours, model
    with timeline.phase("import asyncio"):
        from entrypoints.channel import Channel
        from entrypoints.process import Process
    process = Process(settings, timeline, {name: (Channel(end), model) for name, (end, model) in ends.items()})
    with timeline.importing("uvicorn"):
        import entrypoints.listener  # noqa: F401
    import asyncio

    asyncio.run(process.serve(listening))
    finish(0)


def run_model(settings: Settings, timeline: Timeline, end: socket.socket, name: str) -> NoReturn:
    """Signals are the other process's business: this one ends when the other does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from entrypoints.channel import Channel
    from entrypoints.model_process import ModelProcess

    try:
        ModelProcess(settings, timeline, Channel(end), name).run()
    finally:
        finish(1)  # never into the caller's code: that is the other process's


def end_with(error: Exception) -> NoReturn:
    from entrypoints.faults import Fault
    from entrypoints.log import log_event

    if not isinstance(error, Fault):
        raise error
    log_event("fault", exit_code=error.exit_code, reason=error.reason, action=error.action)
    finish(error.exit_code)


if __name__ == "__main__":
    main()
