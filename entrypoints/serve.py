"""The container's program, ``python3 -m entrypoints.serve``. This file has the whole order of a start, top to bottom:

`main` binds the socket and forks. `run_server` is the process that talks to clients: it answers liveness as soon as it
can. `run_model` is the process that holds the model, one for each model of the image: `load_model` has its steps
(docs/decisions/0011).

Imports at the top are the few that the bind needs; the others come after it, while connections already queue.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from entrypoints.processes.exit import finish
from entrypoints.processes.timeline import Timeline

if TYPE_CHECKING:
    from entrypoints.model.preload import Preload
    from entrypoints.settings import Settings

BACKLOG = 2048
"""Connections that the kernel queues until they are accepted."""


def main() -> NoReturn:
    timeline = Timeline()
    launched = timeline.now()
    prepare_interpreter()
    signal.signal(signal.SIGTERM, stop_early)
    signal.signal(signal.SIGINT, stop_early)
    from entrypoints.settings import read_settings

    try:
        settings = read_settings(os.environ)
        binding = timeline.now()
        listening = bind(settings)
    except Exception as error:
        end_with(error)
    bound = timeline.now()
    timeline.end_phase("launch", 0.0, launched)
    timeline.end_phase("bind", binding, bound)
    with timeline.phase("import entrypoints"):
        import_shared_modules()
    models: dict[str, tuple[socket.socket, int]] = {}
    for name in settings.model_names or ("",):
        ours, theirs = socket.socketpair()
        process = os.fork()  # no thread runs yet
        if process == 0:
            for other in (listening, ours, *(end for end, _ in models.values())):
                other.close()
            run_model(settings, timeline, theirs, name)
        theirs.close()
        models[name] = ours, process
    run_server(settings, timeline, listening, models)


def import_shared_modules() -> None:
    """Import the model process's modules once, before the fork. The server process needs most of them, too: after the fork both
    would import them side by side."""
    __import__("entrypoints.model.process")  # by its name, since nothing in this module uses it


def run_server(
    settings: Settings, timeline: Timeline, listening: socket.socket, models: dict[str, tuple[socket.socket, int]]
) -> NoReturn:
    """The process that talks to clients. ``models``: by name, the socket to the model process, and its id."""
    with timeline.phase("import asyncio"):
        from entrypoints.processes.channel import Channel
        from entrypoints.server.server_process import ServerProcess
    process = ServerProcess(settings, timeline, {name: (Channel(end), model) for name, (end, model) in models.items()})
    with timeline.importing("h11"):
        import entrypoints.server.http.listener  # noqa: F401
    import asyncio

    asyncio.run(process.serve(listening))  # reads the events of the model processes, listens, is live
    finish(0)


def run_model(settings: Settings, timeline: Timeline, end: socket.socket, name: str) -> NoReturn:
    """The process that holds one model. It ignores signals: it ends when the server process does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from entrypoints.model.process import ModelProcess
    from entrypoints.processes.channel import Channel

    try:
        process = ModelProcess(settings, timeline, Channel(end), name)
        process.run_in_thread(load_model)
        process.answer_requests()
    finally:
        finish(1)  # never into the caller's code, which is the server process's


def load_model(preload: Preload) -> None:
    """The start of a model process, in a thread of its own. Steps with "begin" in their name continue in other threads."""
    try:
        preload.begin_reading_libraries()  # asks the kernel to read shared objects into the page cache
        manifest = preload.read_manifest()  # and checks the size of every file
        preload.begin_reading_files(manifest)
        preload.import_numpy()
        preload.begin_verification(manifest)  # digests, by one thread as long as imports need the other processors
        preload.import_runtimes(manifest)  # ONNX Runtime, torch
        components = preload.begin_opening(
            manifest
        )  # each component with the best artifact or provider for this machine
        create = preload.import_model(manifest)
        preload.speed_up_verification()
        model = preload.create_model(create, components)
        preload.warm_up(manifest, model)  # one inference; its answer must be the framework's
        preload.wait_for_components()
        preload.wait_for_verification()
        preload.become_ready(manifest)
        preload.begin_verifying_unused_files()
        preload.warm_buckets(manifest)  # shapes that the warm-up request did not have
    except BaseException as error:  # a model's SystemExit too: otherwise the start would never end
        preload.fail(error)


def prepare_interpreter() -> None:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from 1.29 on ONNX Runtime sends telemetry by default
    # OpenBLAS's threads, made as numpy is imported, sleep at once: by default they spin for 30 ms, on the second core.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    gc.disable()  # until ready: imports make many objects and no garbage
    sys.setswitchinterval(0.001)  # the loop's wait for the interpreter's lock, five times shorter while others import


def stop_early(_number: int, _frame: FrameType | None) -> None:
    """Before the loop runs nothing is in flight. Without a handler process 1 ignores the signal (pid_namespaces(7))."""
    finish(0)


def bind(settings: Settings) -> socket.socket:
    """Raises PortInUse if the address cannot be bound, for whatever reason."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol by name: asyncio sets TCP_NODELAY only then, and without it a body waits 40 ms behind its headers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        from entrypoints.errors import PortInUse

        raise PortInUse(f"{settings.host} port {settings.port}: {error.strerror or error}") from None
    return listening


def end_with(error: Exception) -> NoReturn:
    from entrypoints.errors import Fault
    from entrypoints.processes.log import log_fault

    if not isinstance(error, Fault):
        raise error
    log_fault(error)
    finish(error.exit_code)


if __name__ == "__main__":
    main()
