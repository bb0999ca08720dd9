"""The log: each line on stderr is one JSON object with ``time`` (UTC), ``level`` and ``event``.

Everything that Python and its libraries would print as text becomes such a line as well: `install_hooks`. What native code
prints in a model process goes through a pipe to the server process, which wraps it (`entrypoints.processes.model_output`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from entrypoints.errors import Fault
    from entrypoints.processes.log_records import Report

MAX_LINE_BYTES = 16_000
"""Docker and the container runtimes of Kubernetes split longer lines at 16 KiB."""
MAX_REPEATS = 50
"""Lines of one event in ``REPEAT_SECONDS``; the rest are counted."""
REPEAT_SECONDS = 10.0
UNLIMITED = frozenset({"request", "fault"})
"""Events of which each line is written: the access log, and the ends of starts."""
SIZES = ((6000, 100), (2500, 60), (1000, 40), (200, 20), (40, 5))
"""Characters of a text and entries of a list, tried in turn until a line is short enough."""
MAX_DEPTH = 6
LARGEST_NUMBER = 1e300
STACKS_SIGNAL = signal.SIGUSR2
"""A model process that gets it prints the stacks of its threads, whatever it is doing."""

_descriptor = 2


request_context: ContextVar[Mapping[str, str]] = ContextVar("request_context", default={})  # noqa: B039 (read only)
"""What every line about the current request has: ``request_id``, and ``trace_id`` if the client sent a ``traceparent``."""


def log_event(event: str, *, level: str = "info", **details: object) -> None:
    """Write one line, in one write: the processes of several models share stderr. Never raises."""
    log_from(event, event, level=level, **details)


def log_from(source: Hashable, event: str, *, level: str = "info", **details: object) -> None:
    """As ``log_event``. Lines of one ``source`` are the same line repeated: it must not depend on what a client sent."""
    if event in UNLIMITED or repeats.take(source, event):
        write_event(event, level, {**details, **request_context.get()})


def log_fault(fault: Fault) -> None:
    log_event("fault", level="error", **fault.log_entry)


def log_exception(error: BaseException, where: str = "") -> None:
    """With its traceback. Errors of one type from one line of code are the same line repeated."""
    from entrypoints.processes.log_records import describe_exception  # few starts log an exception

    log_report("exception", describe_exception(error, where))


def log_loop_error(_: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
    """An exception handler of asyncio's loop."""
    from entrypoints.processes.log_records import describe_loop_error

    log_report("log", describe_loop_error(context))


def log_report(event: str, report: Report) -> None:
    log_from(report.source, event, level=report.level, **report.details)


def write_event(event: str, level: str, details: Mapping[str, object]) -> None:
    try:
        line = encode({"time": write_time(time.time()), "level": level, "event": event, **details})
    except (
        Exception
    ) as error:  # a value whose text cannot be had; a line that says so is better than an error of the log
        line = encode({"time": write_time(time.time()), "level": level, "event": event, "lost": type(error).__name__})
    write_line(line)


def write_time(seconds: float) -> str:
    """ISO 8601 with milliseconds, without the module datetime, which a start need not import."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"


def encode(fields: Mapping[str, object]) -> bytes:
    """One line of JSON with its end. Long texts and lists are cut, so that it is at most ``MAX_LINE_BYTES`` long."""
    line = b""
    for size, entries in SIZES:
        text = json.dumps(shorten(fields, size, entries), ensure_ascii=False)
        if not text.isprintable():  # line separators of Unicode, and what a terminal would obey
            text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
        line = text.encode() + b"\n"
        if len(line) <= MAX_LINE_BYTES:
            return line
    kept = {name: fields[name] for name in ("time", "level", "event")}
    return json.dumps({**kept, "lost": f"{len(line)} bytes"}).encode() + b"\n"


def shorten(value: object, size: int, entries: int, depth: int = MAX_DEPTH) -> object:
    """The value as JSON can express it, with texts of at most about ``size`` characters and lists of ``entries`` entries."""
    if isinstance(value, str):
        return cut(value, size)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < LARGEST_NUMBER:  # NaN and infinity are no JSON
        return value
    if isinstance(value, (list, tuple)) and depth:
        if len(value) > entries:
            half = entries // 2
            value = [*value[:half], f"… {len(value) - 2 * half} more …", *value[-half:]]
        return [shorten(each, size, entries, depth - 1) for each in value]
    if isinstance(value, Mapping) and depth:
        names = list(value)[:entries]
        return {cut(str(name), size): shorten(value[name], size, entries, depth - 1) for name in names}
    return cut(str(value), size)


def cut(text: str, size: int) -> str:
    """Without its middle if it is long: a traceback says at its end what happened."""
    if len(text) <= size:
        return text
    half = size // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


def write_line(line: bytes) -> None:
    try:
        while line:
            line = line[os.write(_descriptor, line) :]
    except OSError:
        return  # nobody reads the log any more, or its disk is full: no reason to stop serving


class Repeats:
    """Counts the lines of each source. The rest beyond ``MAX_REPEATS`` in ``REPEAT_SECONDS`` are told in one line."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, tuple[float, str, int, int]] = {}
        """By source: when its window ends, the event, lines that were written, and lines that were not."""
        self._lock = threading.RLock()  # an object that is collected meanwhile may log, in this thread
        self._waits = False

    def take(self, source: Hashable, event: str, wanted: int = 1, most: int = MAX_REPEATS) -> int:
        """How many of ``wanted`` lines may be written now."""
        now = time.monotonic()
        self.tell(now)
        with self._lock:
            end, _, written, suppressed = self._windows.get(source, (now + REPEAT_SECONDS, event, 0, 0))
            taken = min(wanted, most - written)
            suppressed += wanted - taken
            self._windows[source] = end, event, written + taken, suppressed
            if suppressed and not self._waits:
                self._begin_waiting()
        return taken

    def tell(self, now: float) -> None:
        """Close the windows that have ended, and write how many lines each has suppressed."""
        with self._lock:
            ended = [source for source, window in self._windows.items() if window[0] <= now]
            windows = [self._windows.pop(source) for source in ended]
        for _, event, _, suppressed in windows:
            if suppressed:
                write_event("suppressed", "warning", {"of": event, "suppressed": suppressed})

    def _begin_waiting(self) -> None:
        """The count is told even if no line follows. Without a thread, the next line tells it."""
        try:
            threading.Thread(target=self._wait, name="suppressed", daemon=True).start()
            self._waits = True
        except RuntimeError:
            return

    def _wait(self) -> None:
        while True:
            time.sleep(REPEAT_SECONDS)
            self.tell(time.monotonic())
            with self._lock:
                self._waits = any(window[3] for window in self._windows.values())
                if not self._waits:
                    return


repeats = Repeats()


before_end: list[Callable[[], None]] = []
"""Functions that write the last lines of this process."""


def end_log() -> None:
    for write_last_lines in list(before_end):  # each may leave the list
        write_last_lines()
    repeats.tell(float("inf"))


def send_output_to(pipe: int) -> None:
    """In a model process: what Python code, libraries and child processes print goes into ``pipe`` from now on, the lines of
    this module still to the container's stderr."""
    import faulthandler

    global _descriptor
    _descriptor = os.dup(2)
    for stream in (1, 2):
        os.dup2(pipe, stream)
    os.close(pipe)
    faulthandler.enable(2)  # a crash in native code prints the stacks, too
    faulthandler.register(STACKS_SIGNAL, 2)


def install_hooks() -> None:
    """What Python would print on stderr becomes JSON. The hooks import what they need when they are called."""
    import logging
    import warnings

    def uncaught(_kind: type[BaseException], error: BaseException, _trace: object) -> None:
        log_exception(error, "main thread")

    def uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
            log_exception(arguments.exc_value, f"thread {arguments.thread.name if arguments.thread else 'unknown'}")

    def unraisable(arguments: sys.UnraisableHookArgs) -> None:
        from entrypoints.processes.log_records import describe_unraisable

        log_report("exception", describe_unraisable(arguments))

    def warn(message: object, category: type, filename: str, lineno: int, *_: object, **__: object) -> None:
        details = {"category": category.__name__, "text": str(message), "file": filename, "line": lineno}
        log_from((filename, lineno, category), "warning", level="warning", **details)

    def handle(record: logging.LogRecord) -> None:
        from entrypoints.processes.log_records import describe_record

        log_report("log", describe_record(record))

    sys.excepthook, sys.unraisablehook, threading.excepthook = uncaught, unraisable, uncaught_in_thread
    warnings.showwarning = warn
    handler = logging.Handler()
    handler.emit = handle  # type: ignore[method-assign]  # a class of its own would need the module logging earlier
    logging.getLogger().addHandler(handler)


def show_client(host: str) -> str:
    """A client's address as people write it: a socket for IPv6 shows one of IPv4 as ``::ffff:192.0.2.1``."""
    return host[7:] if host.startswith("::ffff:") and "." in host else host
