"""Subprocesses: the only module that starts them, from argument lists, never by a shell.

Every command is logged with its secrets masked, and runs in its own process group. The whole group is ended if the command is
interrupted, runs past its time, or its reader fails.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import IO

from prebake.errors import Interrupted, PrebakeError
from prebake.io.log import Log, silent

Command = Sequence[str | Path]
Daemon = subprocess.Popen[bytes]
"""What ``start_daemon`` returns."""

GRACE_SECONDS = 5.0
"""The time between SIGTERM and SIGKILL."""
MASK = "***"
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_ASSIGNMENT = re.compile(r"(?i)\b([a-z0-9_-]*(?:token|password|passwd|secret|api_?key)[a-z0-9_-]*[= ])(?!id=)(\S+)")


@dataclass(frozen=True)
class EndedCommand:
    """An ended command. ``exit_code`` is negative if a signal ended it."""

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


class CommandFailed(PrebakeError):
    """A program such as ``docker`` or ``apt-get`` could not be started, ended with an error, or ran past its time."""

    exit_code = 10

    def __init__(self, finished: EndedCommand, reason: str, *, secrets: Sequence[str] = ()) -> None:
        tail = redact((finished.stderr or finished.stdout).strip(), secrets).splitlines()[-20:]
        text = "\n".join([f"{_shown(finished.command, secrets)}: {reason}", *(f"  {line}" for line in tail)])
        super().__init__(text, next_action="run the command by hand to see all of its output")
        self.finished = finished


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """``text`` without ``secrets``, credentials in URLs, and values of variables with names such as ``TOKEN``."""
    for secret in secrets:
        text = text.replace(secret, MASK) if secret else text
    return _ASSIGNMENT.sub(rf"\g<1>{MASK}", _CREDENTIALS.sub(MASK, text))


def run(
    command: Command,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,
    timeout: float | None = None,
    check: bool = True,
    log: Log = silent,
    secrets: Sequence[str] = (),
) -> EndedCommand:
    """Run a command until it ends, and return both outputs. ``env`` replaces the environment; ``timeout`` is in seconds.

    Raises CommandFailed if it cannot be started or runs past ``timeout``, and with ``check`` if its exit code is not 0.
    """
    log(f"$ {_shown(command, secrets)}")
    with _started(command, env=env, cwd=cwd, stdin=input is not None, secrets=secrets) as child:
        try:
            out, err = child.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            _end_group(child)
            raise CommandFailed(
                _finished(child, command, "", ""), f"it did not end within {timeout:g} s", secrets=secrets
            ) from expired
    return _checked(_finished(child, command, out, err), check, secrets)


def stream(
    command: Command,
    *,
    on_stdout: Log,
    on_stderr: Log,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
    log: Log = silent,
    secrets: Sequence[str] = (),
) -> int:
    """Run a command, and call ``on_stdout`` and ``on_stderr`` for each line as it comes, in the caller's thread. Returns the exit
    code; raises as ``run`` does."""
    log(f"$ {_shown(command, secrets)}")
    with _started(command, env=env, cwd=cwd, stdin=False, secrets=secrets) as child:
        deadline = None if timeout is None else monotonic() + timeout
        try:
            for sink, line in _lines(child, {"out": on_stdout, "err": on_stderr}, deadline):
                sink(redact(line, secrets))
        except TimeoutError as expired:
            _end_group(child)
            raise CommandFailed(
                _finished(child, command, "", ""), f"it did not end within {timeout:g} s", secrets=secrets
            ) from expired
        child.wait()
    return _checked(_finished(child, command, "", ""), check, secrets).exit_code


def start_daemon(command: Command, *, env: Mapping[str, str], log_file: Path, log: Log = silent) -> Daemon:
    """Start a process that outlives this one, in a new session; both outputs are appended to ``log_file``."""
    log(f"$ {_shown(command, ())}")
    with log_file.open("ab") as output:
        return subprocess.Popen(
            _words(command),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _words(command: Command) -> list[str]:
    return [str(word) for word in command]


def _shown(command: Command, secrets: Sequence[str]) -> str:
    return redact(shlex.join(_words(command)), secrets)


def _finished(child: subprocess.Popen[str], command: Command, out: str, err: str) -> EndedCommand:
    return EndedCommand(tuple(_words(command)), child.returncode if child.returncode is not None else -1, out, err)


def _checked(finished: EndedCommand, check: bool, secrets: Sequence[str]) -> EndedCommand:
    if check and finished.exit_code:
        raise CommandFailed(finished, f"ended with code {finished.exit_code}", secrets=secrets)
    return finished


@contextmanager
def _started(
    command: Command, *, env: Mapping[str, str] | None, cwd: Path | None, stdin: bool, secrets: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    """A child in its own process group, which is ended if the block raises."""
    with _termination_raises():
        child = _popen(command, env=env, cwd=cwd, stdin=stdin, secrets=secrets)
        try:
            yield child
        except BaseException:
            _end_group(child)
            raise
        finally:
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()


def _popen(
    command: Command, *, env: Mapping[str, str] | None, cwd: Path | None, stdin: bool, secrets: Sequence[str]
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            _words(command),
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(EndedCommand(tuple(_words(command)), 127, "", ""), str(error), secrets=secrets) from error


@contextmanager
def _termination_raises() -> Iterator[None]:
    """SIGTERM raises Interrupted in the block, unless it has a handler: by default the child would stay behind."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise_interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise_interrupted(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(f"Stopped by {signal.Signals(number).name}.", next_action="run it again: finished steps are kept")


def _end_group(child: subprocess.Popen[str]) -> None:
    """Send SIGTERM to the group, then SIGKILL. A grandchild may outlive the group's leader."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _lines(child: subprocess.Popen[str], sinks: Mapping[str, Log], deadline: float | None) -> Iterator[tuple[Log, str]]:
    lines: queue.Queue[tuple[str, str | None]] = queue.Queue()
    for name, pipe in (("out", child.stdout), ("err", child.stderr)):
        threading.Thread(target=_pump, args=(name, pipe, lines), daemon=True).start()
    child.stdout = child.stderr = None  # the threads close them: closing under a blocked reader would wait for it
    open_pipes = 2
    while open_pipes:
        try:
            name, line = lines.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            open_pipes -= 1
        else:
            yield sinks[name], line


def _pump(name: str, pipe: IO[str] | None, lines: queue.Queue[tuple[str, str | None]]) -> None:
    if pipe is not None:
        with pipe:
            for line in pipe:
                lines.put((name, line.rstrip("\r\n")))
    lines.put((name, None))
