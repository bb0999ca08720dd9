"""A process or a thread that was refused: by which limit. Only faults import this module."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from entrypoints.errors import Fault, ModelFault, ProcessLimit

_REFUSED = re.compile(
    r"can't start new thread|pthread_create|thread creation failed|(thread|fork|clone)\b.*resource temporarily unavailable",
    re.IGNORECASE,
)
"""Texts that Python, OpenBLAS, OpenMP, ONNX Runtime and torch write if a thread is refused."""

LONGEST_TEXT = 300
"""Characters of a library's message in the reason; the log has the whole traceback."""


class Limit(NamedTuple):
    """``maximum`` of processes and threads, of which ``current`` run. ``refused``: how many the kernel refused so far, if it
    counts them."""

    source: str
    maximum: int
    current: int
    refused: int = 0

    def __str__(self) -> str:
        refused = f", {self.refused} were refused" if self.refused else ""
        return f"{self.current} of {self.maximum} processes and threads run{refused} ({self.source})"


def says_refused(text: str) -> bool:
    """Whether a library's text says that it could not start a thread or a process."""
    return _REFUSED.search(text) is not None


def find_process_limit(error: BaseException) -> Fault | None:
    """The fault, if the error or what caused it is a refused thread or process."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if is_refusal(cause):
            return describe_refusal(str(cause) if isinstance(cause, Fault) else f"{type(cause).__name__}: {cause}")
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def is_refusal(error: BaseException) -> bool:
    """EAGAIN alone may also come from a socket: then a limit has to be reached."""
    if isinstance(error, OSError) and error.errno == errno.EAGAIN:
        return says_refused(f"{error}") or is_reached()
    return isinstance(error, (RuntimeError, OSError, ImportError, Fault)) and says_refused(str(error))


def describe_refusal(what: str) -> ProcessLimit:
    """``what`` says what was refused."""
    what = what[:LONGEST_TEXT]
    limit = find_limit()
    if limit is None:
        return ProcessLimit(f"{what}; the container has no limit of its own, so that it is the machine's")
    return ProcessLimit(f"{what}; {limit}", limit._asdict())


def explain_end(fault: Fault, *, starting: bool) -> Fault:
    """Why a model process ended, if its own end says nothing: many libraries end the process if a thread is refused."""
    if type(fault) is ModelFault and starting and any(limit.refused for limit in read_groups()):
        return describe_refusal(str(fault))
    return fault


def is_reached() -> bool:
    limit = find_limit()
    return limit is not None and (limit.refused > 0 or limit.current >= limit.maximum)


def find_limit() -> Limit | None:
    """The limit with the least room."""
    limits = [*read_groups(), *read_resource_limit()]
    return min(limits, key=lambda limit: limit.maximum - limit.current, default=None)


def read_groups(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> Iterator[Limit]:
    """The limits of the control groups of this process and of those above it, of cgroup v2 and v1."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    splits = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    paths = {controller: path for _, controllers, path in splits for controller in controllers.split(",")}
    for top, path in ((root, paths.get("", "")), (root / "pids", paths.get("pids", ""))):
        group = top if ".." in path else top / path.lstrip("/")
        for folder in (group, *group.parents):
            if limit := read_group(folder):
                yield limit
            if folder == top:
                break


def read_group(folder: Path) -> Limit | None:
    try:
        maximum = (folder / "pids.max").read_text().strip()
        current = int((folder / "pids.current").read_text())
        events = dict(line.split() for line in (folder / "pids.events").read_text().splitlines())
        return None if maximum == "max" else Limit("pids.max", int(maximum), current, int(events.get("max", 0)))
    except (OSError, ValueError):
        return None


def read_resource_limit() -> Iterator[Limit]:
    """RLIMIT_NPROC counts the threads of all processes of the user; it does not bind root."""
    import resource

    maximum = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if maximum == resource.RLIM_INFINITY or os.getuid() == 0:
        return
    yield Limit(f"RLIMIT_NPROC of user {os.getuid()}", maximum, sum(count_threads(os.getuid())))


def count_threads(user: int) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user:
                yield len(list((process / "task").iterdir()))
        except OSError:  # it has ended
            continue
