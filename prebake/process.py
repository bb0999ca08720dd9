"""The one door for subprocesses: argument lists only, never a shell.

Every command is echoed to a narrator with its secrets masked, runs in a process group of its own, and takes that whole
group with it when it is interrupted, times out or fails half way.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import IO, ClassVar

from prebake.errors import Interrupted, PrebakeError

Narrator = Callable[[str], None]
Command = Sequence[str | Path]

GRACE_SECONDS = 5.0
MASK = "***"
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_ASSIGNMENT = re.compile(r"(?i)\b([a-z0-9_-]*(?:token|password|passwd|secret|api_?key)[a-z0-9_-]*[= ])(?!id=)(\S+)")


def narrate(line: str) -> None:
    """Narration goes to stderr; stdout is data."""
    print(line, file=sys.stderr, flush=True)


def silent(line: str) -> None:
    """A narrator that says nothing."""


@dataclass(frozen=True)
class Finished:
    """How a command ended. ``exit_code`` is negative where a signal ended it."""

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


class CommandFailed(PrebakeError):
    """A command ended with another code than 0, could not be started, or ran past its time."""

    exit_code: ClassVar[int] = 10

    def __init__(self, finished: Finished, reason: str, *, secrets: Sequence[str] = ()) -> None:
        tail = redact((finished.stderr or finished.stdout).strip(), secrets).splitlines()[-20:]
        text = "\n".join([f"{_shown(finished.command, secrets)}: {reason}", *(f"  {line}" for line in tail)])
        super().__init__(text, next_action="run the command by hand to see more of it")
        self.finished = finished


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """``text`` without the given secrets, credentials in URLs, and values of variables named like a secret."""
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
    say: Narrator = silent,
    secrets: Sequence[str] = (),
) -> Finished:
    """Run to the end and keep both outputs. ``env`` replaces the environment; ``timeout`` is in seconds.

    Raises CommandFailed where it cannot be started or runs past ``timeout``, and, with ``check``, for a code other
    than 0.
    """
    say(f"$ {_shown(command, secrets)}")
    with _started(command, env=env, cwd=cwd, stdin=input is not None, secrets=secrets) as child:
        try:
            out, err = child.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            _end_group(child)
            raise CommandFailed(
                _finished(child, command, "", ""), f"no end after {timeout:g} s", secrets=secrets
            ) from expired
    return _checked(_finished(child, command, out, err), check, secrets)


def stream(
    command: Command,
    *,
    on_stdout: Narrator,
    on_stderr: Narrator,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
    say: Narrator = silent,
    secrets: Sequence[str] = (),
) -> int:
    """Run and hand over every line as it comes, in the caller's thread. Returns the exit code; raises as ``run``
    does."""
    say(f"$ {_shown(command, secrets)}")
    with _started(command, env=env, cwd=cwd, stdin=False, secrets=secrets) as child:
        deadline = None if timeout is None else monotonic() + timeout
        try:
            for to, line in _lines(child, {"out": on_stdout, "err": on_stderr}, deadline):
                to(redact(line, secrets))
        except TimeoutError as expired:
            _end_group(child)
            raise CommandFailed(
                _finished(child, command, "", ""), f"no end after {timeout:g} s", secrets=secrets
            ) from expired
        child.wait()
    return _checked(_finished(child, command, "", ""), check, secrets).exit_code


def start_daemon(
    command: Command, *, env: Mapping[str, str], log: Path, say: Narrator = silent
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, in a session of its own, both outputs appended to ``log``."""
    say(f"$ {_shown(command, ())}")
    with log.open("ab") as output:
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


def _finished(child: subprocess.Popen[str], command: Command, out: str, err: str) -> Finished:
    return Finished(tuple(_words(command)), child.returncode if child.returncode is not None else -1, out, err)


def _checked(finished: Finished, check: bool, secrets: Sequence[str]) -> Finished:
    if check and finished.exit_code:
        raise CommandFailed(finished, f"ended with code {finished.exit_code}", secrets=secrets)
    return finished


@contextmanager
def _started(
    command: Command, *, env: Mapping[str, str] | None, cwd: Path | None, stdin: bool, secrets: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    """A child in its own group, which is gone when the block is left by an exception of any kind."""
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
        raise CommandFailed(Finished(tuple(_words(command)), 127, "", ""), str(error), secrets=secrets) from error


@contextmanager
def _termination_raises() -> Iterator[None]:
    """SIGTERM raises Interrupted meanwhile, where nobody else handles it: by default it would leave the child
    behind."""
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
    raise Interrupted(
        f"stopped by {signal.Signals(number).name}", next_action="run it again: what was finished is kept"
    )


def _end_group(child: subprocess.Popen[str]) -> None:
    """Ask the whole group to stop, then make it. The group outlives its leader where a grandchild holds on."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _lines(
    child: subprocess.Popen[str], sinks: Mapping[str, Narrator], deadline: float | None
) -> Iterator[tuple[Narrator, str]]:
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
