"""Starts a command under ptrace(2), counts, and writes the counts when it is asked for them.

SIGUSR1 asks. As soon as no thread works any more, the counts go to stdout, and the command is killed. If the command ends by
itself, this program ends with its exit code.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import zlib
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from prebake.measure.counters.tracer.kernel import (
    EVENT_CLONE,
    EVENT_EXEC,
    EVENT_EXIT,
    EVENT_FORK,
    EVENT_SECCOMP,
    EVENT_VFORK,
    MACHINES,
    OPTIONS,
    PTRACE_CONT,
    PTRACE_SEIZE,
    PTRACE_SYSCALL,
    SYSCALL_STOP,
    WAIT_ALL,
    CannotCount,
    Kernel,
)
from prebake.measure.counters.tracer.trace import Trace

MARK = "prebake-counters"
"""Each line of the counts begins with it, its position and the number of lines; that of a failure with ``MARK-failed``."""
LINE_CHARACTERS = 8000  # the Engine splits lines of 16 KiB

SAMPLE_SECONDS = 0.02
IDLE_DEADLINE_SECONDS = 60.0


def launch(kernel: Kernel, architecture: int, command: list[str]) -> tuple[int, int]:
    """Start the command in a child that is traced from its first call on. Returns the child, and a descriptor from which the
    reason can be read if the command does not run. Raises CannotCount."""
    ready, go = os.pipe()
    failed, failing = os.pipe()  # all four ends close at exec
    child = os.fork()
    if child == 0:
        problem = "seccomp filter"
        try:
            os.read(ready, 1)
            kernel.stop_at_calls(architecture)
            problem = command[0]
            os.execvp(command[0], command)  # noqa: S606 - the image's own command
        except OSError as error:
            os.write(failing, f"{problem}: {error.strerror}".encode())
        os._exit(127)
    try:
        kernel.ptrace(PTRACE_SEIZE, child, None, OPTIONS)
    except OSError as error:
        os.kill(child, signal.SIGKILL)
        raise CannotCount(f"ptrace is forbidden in this container ({error.strerror})") from error
    os.write(go, b"1")
    for end in (ready, go, failing):
        os.close(end)
    return child, failed


def resume(kernel: Kernel, request: int, thread: int, number: int = 0) -> None:
    with suppress(ProcessLookupError):  # it was killed meanwhile
        kernel.ptrace(request, thread, None, number)


def follow(kernel: Kernel, trace: Trace, child: int) -> int:
    """Trace until the child ends. Returns its exit code."""
    while True:
        thread, status = os.waitpid(-1, WAIT_ALL)
        if not os.WIFSTOPPED(status):
            trace.threads.pop(thread, None)
            if thread == child:
                return os.waitstatus_to_exitcode(status)
            continue
        try:
            request, number = handle_stop(kernel, trace, thread, os.WSTOPSIG(status), status >> 16)
        except ProcessLookupError:
            continue
        resume(kernel, request, thread, number)


def handle_stop(kernel: Kernel, trace: Trace, thread: int, number: int, event: int) -> tuple[int, int]:
    """How the thread goes on: the ptrace request, and the signal that it gets."""
    if event == EVENT_SECCOMP:
        return (PTRACE_SYSCALL if trace.enter(thread) else PTRACE_CONT), 0
    if number == SYSCALL_STOP:
        trace.leave(thread)
    elif event in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE):
        trace.add_thread(kernel.read_event(thread))
    elif event == EVENT_EXEC:
        trace.begin()
    elif event == EVENT_EXIT:
        trace.end_thread(thread)
    elif event == 0:
        return PTRACE_CONT, number
    return PTRACE_CONT, 0


def write_counts(document: dict[str, Any]) -> None:
    text = base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()
    parts = [text[at : at + LINE_CHARACTERS] for at in range(0, len(text), LINE_CHARACTERS)]
    lines = "".join(f"\n{MARK} {number} {len(parts)} {part}" for number, part in enumerate(parts, 1))
    write(lines + "\n")


def write(text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(1, data) :]


def fail(reason: str) -> NoReturn:
    write(f"\n{MARK}-failed {' '.join(reason.split())}\n")
    os._exit(0)


def install_handlers(trace: Trace) -> None:
    """SIGUSR1 asks for the counts; from then on a timer looks whether the processes are idle. They run between two stops or
    while this program waits for one: waitpid goes on after them (PEP 475)."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        trace.asked = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, SAMPLE_SECONDS, SAMPLE_SECONDS)

    def look(_number: int, _frame: FrameType | None) -> None:
        if trace.is_idle():
            document = trace.document()
            kill_all(trace)
            write_counts(document)
            os._exit(0)
        if time.monotonic() - trace.asked > IDLE_DEADLINE_SECONDS:
            kill_all(trace)
            fail(f"the container was not idle {IDLE_DEADLINE_SECONDS:.0f} s after its first answer")

    def stop(_number: int, _frame: FrameType | None) -> None:
        os._exit(0)  # the kernel kills the traced processes

    signal.signal(signal.SIGUSR1, ask)
    signal.signal(signal.SIGALRM, look)
    signal.signal(signal.SIGTERM, stop)


def kill_all(trace: Trace) -> None:
    for process in set(trace.threads.values()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def main(command: list[str]) -> NoReturn:
    """Never returns to the caller. If counting is impossible, the reason goes to stdout and the command is not run."""
    try:
        code = count(command)
    except CannotCount as error:
        fail(str(error))
    except OSError as error:
        fail(f"the kernel does not trace as it has to; Linux 5.3 does ({error.strerror})")
    os._exit(code if code >= 0 else 128 - code)


def count(command: list[str]) -> int:
    """Run the command and answer SIGUSR1. Returns the command's exit code if it ends first. Raises CannotCount, OSError."""
    machine = os.uname().machine
    if machine not in MACHINES:
        raise CannotCount(f"this machine is a {machine}; the numbers of its system calls are not known")
    architecture, numbers = MACHINES[machine]
    kernel = Kernel()
    child, failed = launch(kernel, architecture, command)
    trace = Trace(kernel, numbers)
    trace.add_thread(child)
    install_handlers(trace)
    code = follow(kernel, trace, child)
    if not trace.begun:
        raise CannotCount(os.read(failed, 4096).decode() or f"{command[0]} did not start")
    return code
