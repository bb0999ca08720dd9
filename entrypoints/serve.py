"""The container's program, ``python3 -m entrypoints.serve``. This file has the whole order of a start, top to bottom:

`main` binds the socket and forks. `run_server` is the process that talks to clients: it answers liveness as soon as it
can. `run_model` is the process that holds the model, one for each model of the image: `load_model` has its steps
(docs/decisions/0011).

Imports at the top are the few that the bind needs; the others come after it, while connections already queue.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from entrypoints.processes.exit import finish
from entrypoints.processes.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from entrypoints.model.preload import Preload
    from entrypoints.settings import Settings

BACKLOG = 2048
"""Connections that the kernel queues until they are accepted."""
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
"""Errors of a kernel without IPv6, or of one whose interfaces have none."""


def main() -> NoReturn:
    try:
        start()
    except BaseException as error:  # whatever it is, the log and the exit code say it
        end_with(error)


def start() -> NoReturn:
    timeline = Timeline()
    launched = timeline.now()
    prepare_interpreter()
    signal.signal(signal.SIGTERM, stop_early)
    signal.signal(signal.SIGINT, stop_early)
    from entrypoints.settings import SECRETS, find_unknown, read_settings

    settings = read_settings(os.environ)
    for secret in SECRETS:
        os.environ.pop(secret, None)  # a model's code and its child processes need not see it
    binding = timeline.now()
    listening = bind(settings)
    bound = timeline.now()
    host, port = listening.getsockname()[:2]
    settings = settings._replace(host=host, port=port)
    if settings.grpc_port >= 0:
        check_grpc(settings)
    timeline.end_phase("launch", 0.0, launched)
    timeline.end_phase("bind", binding, bound)
    with timeline.phase("import entrypoints"):
        import_shared_modules()
    if unknown := find_unknown(os.environ):
        warn_of_unknown(unknown)
    names = settings.model_names or ("",)
    if settings.manages_memory:
        from entrypoints.server.residency.preloading import choose_models  # late: most containers load all models

        names = tuple(choose_models(settings))
    models: dict[str, tuple[socket.socket, int]] = {}
    outputs: dict[str, int] = {}
    for name in names:
        ours, theirs = socket.socketpair()
        output, stderr = os.pipe()
        process = os.fork()  # no thread runs yet
        if process == 0:
            for other in (listening, ours, *(end for end, _ in models.values())):
                other.close()
            for reader in (output, *outputs.values()):
                os.close(reader)
            run_model(settings, timeline, theirs, stderr, name, load_model)
        theirs.close()
        os.close(stderr)
        models[name], outputs[name] = (ours, process), output
    run_server(settings, timeline, listening, models, outputs)


def import_shared_modules() -> None:
    """Import the model process's modules once, before the fork. The server process needs most of them, too: after the fork both
    would import them side by side."""
    __import__("entrypoints.model.process")  # by its name, since nothing in this module uses it
    from entrypoints.processes.log import install_hooks

    install_hooks()


def run_server(
    settings: Settings,
    timeline: Timeline,
    listening: socket.socket,
    models: dict[str, tuple[socket.socket, int]],
    outputs: dict[str, int],
) -> NoReturn:
    """The process that talks to clients. ``models``: by name, the socket to the model process, and its id. ``outputs``: by
    name, the pipe that the model process prints to."""
    with timeline.phase("import asyncio"):
        from entrypoints.processes.channel import Channel
        from entrypoints.server.server_process import ServerProcess
    links = {name: (Channel(end), model) for name, (end, model) in models.items()}
    process = ServerProcess(settings, timeline, links, outputs)
    with timeline.importing("h11"):
        import entrypoints.server.http.listener  # noqa: F401
    import asyncio

    asyncio.run(process.serve(listening))  # reads the events of the model processes, listens, is live
    finish(0)


def run_model(
    settings: Settings,
    timeline: Timeline,
    end: socket.socket,
    stderr: int,
    name: str,
    load: Callable[[Preload], None],
) -> NoReturn:
    """The process that holds one model. It ignores signals: it ends when the server process does. ``stderr`` is the pipe that
    it prints to. ``load``: ``load_model``, or another order of its steps."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from entrypoints.processes.log import log_exception, send_output_to

    try:
        send_output_to(stderr)
        from entrypoints.model.process import ModelProcess
        from entrypoints.processes.channel import Channel

        process = ModelProcess(settings._replace(admin_token="", telemetry=()), timeline, Channel(end), name)
        process.run_in_thread(load)
        process.answer_requests()
    except BaseException as error:
        log_exception(error, "model process")
    finally:
        finish(1)  # never into the caller's code, which is the server process's


def load_model(preload: Preload) -> None:
    """The start of a model process, in a thread of its own. Steps with "begin" in their name continue in other threads."""
    try:
        preload.begin_reading_libraries()  # asks the kernel to read shared objects into the page cache
        manifest = preload.read_manifest()  # and checks the size of every file
        preload.begin_reading_files(manifest)
        preload.import_numpy(manifest)
        preload.begin_decoder(manifest)  # a process for the files of requests, if the model has code for it
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
        if preload.performs:
            preload.warm_buckets(manifest)  # so that no request meets a bucket that never ran
        preload.wait_for_verification()
        preload.become_ready(manifest)
        preload.measure_free_memory()  # what is left for requests
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
    """Without ``PREBAKE_HOST`` one socket takes connections of IPv6 and of IPv4; of IPv4 alone if the kernel has no IPv6.

    Raises PortInUse if the address cannot be bound, for whatever reason.
    """
    try:
        try:
            return listen(settings.host or "::", settings.port)
        except OSError as error:
            if settings.host or error.errno not in NO_IPV6:
                raise
            return listen("0.0.0.0", settings.port)  # noqa: S104 (in a container there is no other way to be reached)
    except OSError as error:
        from entrypoints.errors import PortInUse

        raise PortInUse(f"{settings.host or '::'} port {settings.port}: {error.strerror or error}") from None


def check_grpc(settings: Settings) -> None:
    """gRPC listens later; what would prevent it ends the start now. Raises SettingsFault or PortInUse."""
    from importlib.util import find_spec

    if find_spec("entrypoints.server.grpc") is None:
        from entrypoints.errors import SettingsFault

        message = "the image was built without gRPC: unset it, or build with `serving: {grpc: true}` in image.yaml"
        raise SettingsFault([f"PREBAKE_GRPC_PORT={settings.grpc_port}: {message}"])
    bind(settings._replace(port=settings.grpc_port)).close()


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by name: asyncio sets TCP_NODELAY only then, and without it a body waits 40 ms behind its headers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # also if net.ipv6.bindv6only is 1
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def warn_of_unknown(names: list[str]) -> None:
    from entrypoints.processes.log import log_event
    from entrypoints.settings import describe_unknown

    log_event("unknown variables", level="warning", text=describe_unknown(names[:20]), names=names[:20])


def end_with(error: BaseException) -> NoReturn:
    """Nothing is served: the log has the reason, and the process ends with its code."""
    code = 1
    try:
        from entrypoints.errors import Fault
        from entrypoints.processes.log import log_event, log_exception, log_fault
        from entrypoints.processes.process_limit import find_process_limit

        fault = error if isinstance(error, Fault) else find_process_limit(error)
        if fault is not None:
            code = fault.exit_code
            log_fault(fault)
        else:
            log_exception(error, "server process")
            reason = f"the server process cannot start: {type(error).__name__}: {error}"
            few_files = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
            action = (
                "Raise the limit of open files (ulimit -n)." if few_files else "Report it with the traceback above."
            )
            log_event("fault", level="error", exit_code=code, reason=reason, action=action)
    except BaseException:  # no file can be opened, or no memory is left: a line without the modules of the log
        name = type(error).__name__
        moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        line = f'{{"time": "{moment}", "level": "error", "event": "fault", "exit_code": {code}, "reason": "{name}"}}\n'
        os.write(2, line.encode())
    finally:
        finish(code)


if __name__ == "__main__":
    main()
