"""The template: a process without threads that has imported the decoders, and forks a worker for each call.

A fork of the model process would copy locks that its threads hold, and let a worker see the model's memory. A new interpreter for
each call would import for 0.2 s. The template ends as soon as the model process has ended.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from entrypoints.decoding.messages import ENDED, LARGEST, LONGEST_TEXT, NOT_STARTED, Limits, send
from entrypoints.decoding.worker import Confinement, answer_call, run_worker


def run_template(control: socket.socket, modules: Sequence[str]) -> NoReturn:
    """``control`` is a socket to the model process. Each of ``modules`` is imported, and imports decoders."""
    code = 1
    try:
        _close_others(control)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the model process does
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.disable()  # a collection would write to pages that workers and template share
        _import(modules)
        gc.freeze()
        Template(control).serve()
        code = 0
    except BaseException as error:  # a fault of this code: the model process says so if a new template ends, too
        control.send("".join(traceback.format_exception(error))[-LONGEST_TEXT:].encode())
    finally:
        os._exit(code)


def _close_others(control: socket.socket) -> None:
    """Every descriptor of the model process, such as its end of the socket to the server process."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if descriptor > 2 and descriptor != control.fileno():
            with contextlib.suppress(OSError):  # that of the listing
                os.close(descriptor)


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with contextlib.suppress(Exception):  # a worker that needs it imports it again, and reports what is wrong
            importlib.import_module(module)


class Template:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._confinement = Confinement()
        self._workers: dict[int, socket.socket] = {}
        """By process id, the socket to the model process. It is held here too, to send how the worker ended."""
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        """A worker's end writes a byte to it, so that the poll returns."""
        self._poll.register(self._pipe[0], select.POLLIN)
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until the model process has ended."""
        while True:
            events = dict(self._poll.poll())
            for process, end in list(self._workers.items()):
                if events.get(end.fileno(), 0) & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                    self._kill(process, end)
            if self._pipe[0] in events:
                os.read(self._pipe[0], 4096)
                self._reap()
            if self._control.fileno() in events and not self._take_call():
                for process in self._workers:
                    os.kill(process, signal.SIGKILL)
                return

    def _kill(self, process: int, end: socket.socket) -> None:
        """The model process has closed its end: it needs no answer any more. The worker is not reaped: the id is its own."""
        self._poll.unregister(end)
        os.kill(process, signal.SIGKILL)

    def _reap(self) -> None:
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            end = self._workers.pop(process)
            _send(end, ENDED, status=os.waitstatus_to_exitcode(status))
            self._forget(end)

    def _forget(self, end: socket.socket) -> None:
        with contextlib.suppress(KeyError):  # it was killed
            self._poll.unregister(end)
        end.close()

    def _take_call(self) -> bool:
        """False if the model process has ended."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, LARGEST, 2)
        except OSError:
            return False
        if not message:
            return False
        end, file = socket.socket(fileno=descriptors[0]), descriptors[1]
        limits = Limits.unpack(message)
        if limits.trusted:
            with end, contextlib.suppress(OSError):  # nobody waits for the answer
                answer_call(end, file)
            return True
        try:
            process = os.fork()
        except OSError as error:
            _send(end, NOT_STARTED, error=error.strerror)
            end.close()
        else:
            if process == 0:
                self._become_worker(end, file, limits)
            self._workers[process] = end
            self._poll.register(end, 0)  # POLLHUP
        os.close(file)
        return True

    def _become_worker(self, end: socket.socket, file: int, limits: Limits) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (self._control, *self._workers.values()):
            other.close()
        for descriptor in self._pipe:
            os.close(descriptor)
        run_worker(end, file, limits, self._confinement)


def _send(end: socket.socket, kind: str, **details: str | int | None) -> None:
    with contextlib.suppress(OSError):  # nobody waits for it
        send(end, kind, None, **details)


if __name__ == "__main__":
    run_template(socket.socket(fileno=0), sys.argv[1:])
