"""The counts of one start as a value, and their reading from a container's output."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prebake.measure.counters.module_names import find_modules
from prebake.measure.counters.system_calls import system_call_name
from prebake.measure.counters.tracer.process_files import KERNEL
from prebake.measure.counters.tracer.program import MARK

OUTSIDE = (*KERNEL, "/run/", "/tmp/", "/memfd:")  # noqa: S108
"""Paths that are not of the image: the kernel's files, whose names have process numbers, and files that a start makes."""

MAX_BYTES = 64 << 20
"""The most bytes that are unpacked of the tracer's document. A file takes about 200 bytes in it."""

WAITS = frozenset(
    (
        *("futex", "futex_waitv", "sched_yield", "nanosleep", "clock_nanosleep", "restart_syscall", "rt_sigtimedwait"),
        *("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "wait4", "waitid"),
        *("recvfrom", "recvmsg", "getpid"),
    )
)
"""Calls whose number follows from the order in which threads run, and from how long the container lived: event loops call some
of them at each turn (asyncio calls getpid)."""


@dataclass(frozen=True)
class FileUse:
    """What a start did with one file. ``opened`` is how often; ``read`` and ``mapped`` are bytes: the results of read(2) and
    its kin, and the lengths of mappings by mmap(2) inside the file. ``module`` is the module that was imported from it, else
    empty. ``after``: the module or file that the same thread used before it, the first time."""

    opened: int
    read: int
    mapped: int
    module: str = ""
    after: str = ""

    @property
    def bytes(self) -> int:
        return self.read + self.mapped


@dataclass(frozen=True)
class Counters:
    """The counts of one start until it was idle after its first answer. Sizes in bytes.

    If ``counted`` is false, ``reason`` says why, and only the sizes of image and layers are known. ``modules`` has the path from
    which each module was imported; ``system_calls`` are by name, ``layer_bytes`` by kind of layer.
    """

    counted: bool
    reason: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileUse] = field(default_factory=dict)
    system_calls: Mapping[str, int] = field(default_factory=dict)
    minor_faults: int = 0
    major_faults: int = 0
    threads_created: int = 0
    processes_created: int = 0
    peak_threads: int = 0
    image_bytes: int = 0
    layer_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def bytes_read(self) -> int:
        return sum(file.read for file in self.files.values())

    @property
    def bytes_mapped(self) -> int:
        return sum(file.mapped for file in self.files.values())

    @property
    def waiting_calls(self) -> int:
        """The calls that wait for another thread, for a message or for a time."""
        return sum(count for name, count in self.system_calls.items() if name in WAITS)

    @property
    def working_calls(self) -> int:
        """All other calls."""
        return sum(self.system_calls.values()) - self.waiting_calls

    def with_sizes(self, image_bytes: int, layer_bytes: Mapping[str, int]) -> Counters:
        return replace(self, image_bytes=image_bytes, layer_bytes=layer_bytes)

    def document(self) -> dict[str, Any]:
        """As JSON's values."""
        return asdict(self) | {"bytes_read": self.bytes_read, "bytes_mapped": self.bytes_mapped}


def not_counted(reason: str) -> Counters:
    return Counters(counted=False, reason=reason)


def read_counters(output: str, roots: Sequence[str] = ()) -> Counters | None:
    """The counts in a container's stdout; None if the tracer has written none. ``roots`` are the folders of PYTHONPATH. The
    image's programs write to stdout, too: lines of theirs that look like counts are a reason, and no error."""
    try:
        return _read_counters(output, roots)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, zlib.error):
        return not_counted("the container wrote lines that look like the tracer's, and cannot be read")


def _read_counters(output: str, roots: Sequence[str]) -> Counters | None:
    lines = [line.split(" ", 3) for line in output.splitlines() if line.startswith(MARK)]
    for mark, *words in lines:
        if mark == f"{MARK}-failed":
            return not_counted(" ".join(words))
    parts = {int(words[0]): words[2] for _, *words in lines if len(words) == 3}
    if not parts or len(parts) != int(lines[-1][2]):
        return None
    text = "".join(parts[number] for number in sorted(parts))
    return parse_counters(json.loads(_decompress(base64.b64decode(text))), roots)


def _decompress(data: bytes) -> bytes:
    """Raises ValueError for more than ``MAX_BYTES``: a few kilobytes can unpack to any size."""
    stream = zlib.decompressobj()
    document = stream.decompress(data, MAX_BYTES)
    if not stream.eof:
        raise ValueError("the document is cut off, or too large")
    return document


def parse_counters(document: Mapping[str, Any], roots: Sequence[str] = ()) -> Counters:
    """The tracer's document, without the files that are not of the image."""
    files = {path: use for path, use in document["files"].items() if _is_of_image(path)}
    modules = find_modules({path: read + mapped for path, (_, read, mapped, _) in files.items()}, roots)
    names = {path: name for name, path in modules.items()}
    machine = document["machine"]
    return Counters(
        counted=True,
        modules=dict(sorted(modules.items())),
        files={
            path: FileUse(_number(opened), _number(read), _number(mapped), names.get(path, ""), names.get(after, after))
            for path, (opened, read, mapped, after) in sorted(files.items())
        },
        system_calls=dict(
            sorted(
                (system_call_name(machine, int(number)), _number(count)) for number, count in document["calls"].items()
            )
        ),
        minor_faults=_number(document["minor_faults"]),
        major_faults=_number(document["major_faults"]),
        threads_created=_number(document["threads_created"]),
        processes_created=_number(document["processes_created"]),
        peak_threads=_number(document["peak_threads"]),
    )


def _number(value: object) -> int:
    """Raises ValueError for anything but a count of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise ValueError(f"not a count: {value!r:.40}")
    return value


def _is_of_image(path: str) -> bool:
    return not path.startswith(OUTSIDE) and not path.endswith(" (deleted)")
