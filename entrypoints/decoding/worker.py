"""The worker: one process for one call. It runs the function within limits, sends what the function returns, and ends."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import resource
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from entrypoints.decoding.messages import (
    CANCELLED,
    DONE,
    FAILED,
    NO_MEMORY,
    REFUSED,
    STARTED,
    VALUE,
    WINDOW,
    Limits,
    send,
    write_file,
)
from entrypoints.decoding.values import write_value

ADDRESS_SPACE = 1 << 30
"""Bytes that a worker may reserve beyond its memory without using them: malloc reserves 64 MiB for each thread."""
FILES = 64
"""Descriptors."""
_PR_SET_PDEATHSIG = 1
_SHORTAGES = (errno.ENOMEM, errno.EFBIG)


class Call(NamedTuple):
    """``function`` is module-level. Its exceptions of the types ``refusal`` (with ``field`` and ``status``) and ``cancelled`` are
    raised again in the model process."""

    function: Callable[..., Any] | str
    """Or its name, as ``module:function``, for a module that the model process need not import."""
    arguments: tuple[Any, ...]
    refusal: type[Exception]
    cancelled: type[Exception]


def run_worker(end: socket.socket, file: int, limits: Limits, template: Confinement) -> NoReturn:
    """In a fork of the template. ``file`` holds the pickled `Call`."""
    try:
        template.confine(limits)
        answer_call(end, file)
    finally:
        os._exit(0)


class Confinement:
    """What confines a worker: the kernel ends it if the template ends, or if it runs too long, and allocations beyond its memory
    fail. The template prepares it once, so that a worker touches few pages."""

    def __init__(self) -> None:
        import ctypes  # numpy has imported it

        self._template = os.getpid()
        self._prctl = ctypes.CDLL(None).prctl
        self._prctl(0)  # an invalid option: the symbol is looked up now
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._processors = len(os.sched_getaffinity(0))
        self._sizes = _read_sizes()

    def confine(self, limits: Limits) -> None:
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._template:  # it has ended already
            os._exit(0)
        for output in (1, 2):  # native code that gives up writes there, and the log has lines of JSON
            os.dup2(self._null, output)
        os.close(self._null)
        _set_limits(limits, int(limits.seconds * self._processors) + 1, self._sizes)
        _be_killed_first()


def _set_limits(limits: Limits, seconds: int, sizes: tuple[int, int]) -> None:
    """``seconds``: of all threads. ``sizes``: what the template uses."""
    used, data = sizes
    for kind, largest in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits.memory),
        (resource.RLIMIT_DATA, data + limits.memory),  # what may be written, so that a thread's reserve does not count
        (resource.RLIMIT_AS, used + limits.memory + ADDRESS_SPACE),
    ):
        _, hard = resource.getrlimit(kind)
        most = largest if hard == resource.RLIM_INFINITY else min(largest, hard)
        resource.setrlimit(kind, (most, most))


def _read_sizes() -> tuple[int, int]:
    """Bytes of this process's address space, and of its part that may be written (proc(5), /proc/pid/statm)."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes longer
        fields = [int(field) * resource.getpagesize() for field in file.read().split()]
    return fields[0], fields[5]


def _be_killed_first() -> None:
    """If the container's memory is used up the kernel should end this process, and not the model's."""
    with contextlib.suppress(OSError):  # /proc may be read-only
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(file, b"1000")
        os.close(file)


def answer_call(end: socket.socket, file: int) -> None:
    """Send the values of the `Call` in ``file``, which is closed, or what it raises. Raises OSError if nobody receives them."""
    send(end, STARTED)
    refusal: type[Exception] | tuple[()] = ()
    cancelled: type[Exception] | tuple[()] = ()
    try:
        with os.fdopen(file, "rb") as source:
            call: Call = pickle.load(source)  # noqa: S301 - from the model process
        refusal, cancelled = call.refusal, call.cancelled
        for number, value in enumerate(_iterate(call)):
            if number >= WINDOW:
                end.recv(1)  # the model process has taken one
            written = write_file(write_value(value))
            send(end, VALUE, written)
            os.close(written)
        send(end, DONE)
    except refusal as error:
        send(end, REFUSED, text=str(error), field=getattr(error, "field", None), status=getattr(error, "status", 422))
    except cancelled:
        send(end, CANCELLED)
    except MemoryError:
        send(end, NO_MEMORY)
    except OSError as error:
        if error.errno in _SHORTAGES:  # a mapping, or a value beyond RLIMIT_FSIZE
            send(end, NO_MEMORY)
        else:
            _fail(end, error)
    except BaseException as error:
        _fail(end, error)


def _fail(end: socket.socket, error: BaseException) -> None:
    send(end, FAILED, error=f"{type(error).__name__}: {error}", traceback="".join(traceback.format_exception(error)))


def _iterate(call: Call) -> Iterator[Any]:
    """The values of a generator function, or the one value of another function."""
    function = find_function(call.function) if isinstance(call.function, str) else call.function
    result = function(*call.arguments)
    if hasattr(result, "__next__"):
        yield from result
    else:
        yield result


def find_function(name: str) -> Callable[..., Any]:
    from importlib import import_module

    module, _, attribute = name.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), attribute)
    return function
