"""The model process's side: starts the template, sends it calls, and receives their values.

The functions may be called from any thread; each call has a socket pair of its own.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from entrypoints.decoding import messages
from entrypoints.decoding.messages import Limits, Message
from entrypoints.decoding.values import read_value
from entrypoints.decoding.worker import Call
from entrypoints.errors import ProcessLimit

BLAS_THREADS = "4"
"""The most threads that OpenBLAS starts in a worker: each takes 36 MiB."""
_LOOK = 0.02
"""Seconds between two looks at ``cancelled``."""
_TEMPLATE_PATIENCE = 120.0
"""Seconds that a template may take to import and fork, on a machine that does much else."""
_FILE_SEALS = 0x0002 | 0x0004
"""F_SEAL_SHRINK and F_SEAL_GROW: a worker that cut off the file would end the process that has mapped it."""


class CallFailed(Exception):
    """The function raised an exception that is no refusal: a fault of the model's code, not of the client."""


class TemplateEnded(Exception):
    """The template was killed, perhaps by the kernel that ran out of memory."""


class Template(NamedTuple):
    control: socket.socket
    process: int
    modules: tuple[str, ...]
    """That it has imported."""
    path: tuple[str, ...] | None
    """Where it looks for modules, if it was not forked: a builder's process may bake one project after the other."""


class _Current:
    """The process's one template."""

    lock = threading.Lock()
    template: Template | None = None
    trusted = False
    """Whether all files are the image's own: during a start, until it is ready."""


def fork_template(module: str) -> None:
    """Start the template as a fork of this process, which shares its imported modules. Raises ProcessLimit.

    For a start, which has imported numpy but neither ONNX Runtime nor the model. Its other threads at this time wait in a system
    call, or ask the kernel to read files: none holds a lock that the fork needs.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        process = os.fork()
    except OSError as error:
        raise _no_process(error) from None
    if process == 0:
        from entrypoints.decoding.template import run_template

        run_template(theirs, (module,))
    theirs.close()
    with _Current.lock:
        _Current.template = Template(ours, process, (module,), None)
        _Current.trusted = True


def expect_strangers() -> None:
    """From now on, files are those of requests."""
    _Current.trusted = False


def iterate_apart(call: Call, limits: Limits, cancelled: Callable[[], bool], field: str | None) -> Iterator[Any]:
    """The values of the call, as they come. Raises what the function raised of the call's types, the call's ``refusal`` (with
    ``field``) if a limit is exceeded or the worker crashes, CallFailed, ProcessLimit."""
    with _begin(call, limits) as running:
        while True:
            message = running.receive(cancelled, field)
            if message.kind == messages.DONE:
                return
            yield running.open_value(message, field)
            running.take_next()


class Running:
    """One call, whose worker works or has ended."""

    def __init__(self, call: Call, limits: Limits, end: socket.socket) -> None:
        self._call = call
        self._limits = limits
        self._end = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)
        self._waited = 0.0

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()  # the template kills the worker, if it still works

    def wait_until_started(self) -> None:
        """Raises TemplateEnded, ProcessLimit."""
        if not self._poll.poll(_TEMPLATE_PATIENCE * 1000):
            raise TemplateEnded
        try:
            message = messages.receive(self._end)
        except EOFError:
            raise TemplateEnded from None
        if message.kind == messages.NOT_STARTED:
            raise _no_process(str(message.details["error"]))
        if message.kind != messages.STARTED:
            raise CallFailed(f"a decoder ended before it began: {message.details}")

    def receive(self, cancelled: Callable[[], bool], field: str | None) -> Message:
        """The next message: a value, or the end. Time that the caller spends with values does not count."""
        while not self._wait(cancelled):
            if self._waited > self._limits.seconds:
                raise self._too_long(field)
        try:
            message = messages.receive(self._end)
        except EOFError:
            raise CallFailed("the process that forks decoders has ended") from None
        except ValueError:
            raise self._crashed("the decoder sent no message", field) from None
        if message.kind not in (messages.VALUE, messages.DONE):
            raise self._find_error(message, field)
        return message

    def _wait(self, cancelled: Callable[[], bool]) -> bool:
        """Whether a message is there."""
        if cancelled():
            raise self._call.cancelled
        begun = time.monotonic()
        ready = self._poll.poll(_LOOK * 1000)
        self._waited += time.monotonic() - begun
        return bool(ready)

    def open_value(self, message: Message, field: str | None) -> Any:
        """The message's value. Its arrays are views of the worker's memory, which is freed with the last of them."""
        assert message.file is not None  # noqa: S101 - a value's message has one
        try:
            return read_value(_map(message.file))
        except (ValueError, struct.error, TypeError, KeyError, RecursionError, OSError) as error:
            raise self._crashed(f"the decoder sent no value ({type(error).__name__})", field) from None
        finally:
            os.close(message.file)

    def take_next(self) -> None:
        try:
            self._end.send(b"\0")
        except OSError:  # it has ended
            return

    def _find_error(self, message: Message, field: str | None) -> Exception:
        details = message.details
        if message.kind == messages.REFUSED:
            return self._refuse(str(details["text"]), details["field"], details["status"])
        if message.kind == messages.CANCELLED:
            return self._call.cancelled()
        if message.kind == messages.NO_MEMORY:
            return self._too_large(field)
        if message.kind == messages.FAILED:
            return CallFailed(f"{details['error']}\n{details['traceback']}")
        status = details.get("status")
        if status == -signal.SIGXCPU:
            return self._too_long(field)
        if status == -signal.SIGKILL:  # by the kernel, out of memory
            return self._too_large(field)
        name = signal.Signals(-status).name if isinstance(status, int) and status < 0 else f"code {status}"
        return self._crashed(f"the decoder ended with {name}", field)

    def _refuse(self, text: str, field: object, status: object = 422) -> Exception:
        return self._call.refusal(text, field=field, status=status)  # type: ignore[call-arg]

    def _too_long(self, field: str | None) -> Exception:
        return self._refuse(f"the file took more than {self._limits.seconds:g} s to decode", field)

    def _too_large(self, field: str | None) -> Exception:
        return self._refuse(f"the file took more than {self._limits.memory >> 20} MiB to decode", field)

    def _crashed(self, how: str, field: str | None) -> Exception:
        return self._refuse(f"the file cannot be decoded: {how}; it is damaged, or of an unusual kind", field)


def _map(file: int) -> mmap.mmap:
    """The file's content, writable without effect on the file."""
    import fcntl

    fcntl.fcntl(file, fcntl.F_ADD_SEALS, _FILE_SEALS)
    return mmap.mmap(file, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)


def _begin(call: Call, limits: Limits) -> Running:
    """The call, begun. If the template has ended, by a new one."""
    file = messages.write_file([pickle.dumps(call, pickle.HIGHEST_PROTOCOL)])
    try:
        try:
            return _start(call, limits, file)
        except TemplateEnded:
            return _start(call, limits, file)
    except TemplateEnded as error:
        raise CallFailed(f"the process that forks decoders has ended, and so did a new one: {error}") from None
    finally:
        os.close(file)


def _start(call: Call, limits: Limits, file: int) -> Running:
    template = _find_template(call)
    os.lseek(file, 0, os.SEEK_SET)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    running = Running(call, limits, ours)
    try:
        try:
            socket.send_fds(
                template.control, [limits._replace(trusted=_Current.trusted).pack()], [theirs.fileno(), file]
            )
        except OSError:
            raise TemplateEnded from None
        finally:
            theirs.close()
        running.wait_until_started()
    except TemplateEnded:
        ours.close()
        raise TemplateEnded(_replace(template)) from None
    except BaseException:
        ours.close()
        raise
    return running


def _find_template(call: Call) -> Template:
    with _Current.lock:
        template = _Current.template
        if template is not None and template.path not in (None, tuple(sys.path)):
            _end(template)
            template = None
        if template is None:
            template = _Current.template = _spawn_template(_find_modules(call))
        return template


def _find_modules(call: Call) -> tuple[str, ...]:
    """The modules that a worker imports to run the call."""
    function = call.function
    named = function.partition(":")[0] if isinstance(function, str) else function.__module__
    return tuple(dict.fromkeys((call.refusal.__module__, named)))


def _replace(template: Template) -> str:
    """It has ended, or does not answer: a new one takes its place. The reason, if it gave one."""
    with _Current.lock:
        if _Current.template is not template:
            return "another call met it first"
        reason = _end(template)
        _Current.template = _spawn_template(template.modules)
        return reason


def _end(template: Template) -> str:
    """How it ended, if it had before. The lock is held."""
    _Current.template = None
    os.kill(template.process, signal.SIGKILL)  # not yet reaped, so that the process id is its own
    _, status = os.waitpid(template.process, 0)
    reason = f"it ended with {os.waitstatus_to_exitcode(status)}"
    with contextlib.suppress(OSError):
        reason = template.control.recv(messages.LARGEST, socket.MSG_DONTWAIT).decode() or reason
    template.control.close()
    return reason


def _spawn_template(modules: tuple[str, ...]) -> Template:
    """A template with an interpreter of its own: this process has threads now, and cannot be forked. Raises ProcessLimit."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environ = {"OPENBLAS_NUM_THREADS": BLAS_THREADS, **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "entrypoints.decoding.template", *modules],
            environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
        )
    except OSError as error:
        ours.close()
        raise _no_process(error) from None
    finally:
        theirs.close()
    return Template(ours, process, modules, tuple(sys.path))


def _no_process(error: OSError | str) -> ProcessLimit:
    reason = error if isinstance(error, str) else error.strerror
    return ProcessLimit(f"no process can be started to decode a file: {reason}")
