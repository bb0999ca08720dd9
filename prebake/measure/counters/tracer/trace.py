"""The counts of all traced processes."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from prebake.measure.counters.tracer.kernel import Kernel
from prebake.measure.counters.tracer.process_files import path_of, process_of, read_faults, regular_size, state_of

QUIET_SECONDS = 0.3  # without a call that opens, reads or maps a file, and without a new thread
IDLE_LOOKS = 3  # in a row; no more, since an event loop that wakes up now and then does not work
MAP_ANONYMOUS = 0x20
OPENS = ("open", "openat", "openat2")
SOURCE_ARGUMENT = {"sendfile": 1}  # the argument that is the descriptor of the file that is read; else the first


class FileCount:
    """How often one file was opened, and how many bytes of it were read and mapped."""

    def __init__(self) -> None:
        self.opened = 0
        self.read = 0
        self.mapped = 0
        self.previous = ""
        """The file that the same thread read or mapped before this one, the first time."""

    def document(self) -> list[Any]:
        return [self.opened, self.read, self.mapped, self.previous]


class Trace:
    """Counts of all processes from the first exec on."""

    def __init__(self, kernel: Kernel, numbers: dict[str, int]) -> None:
        self._kernel = kernel
        self._opens = frozenset(numbers[name] for name in OPENS if name in numbers)
        self._map = numbers["mmap"]
        self._reads = {
            number: SOURCE_ARGUMENT.get(name, 0) for name, number in numbers.items() if name not in (*OPENS, "mmap")
        }
        self._waiting: dict[int, tuple[int, str]] = {}
        self._last: dict[int, str] = {}
        self.begun = False
        self.asked = 0.0
        self.threads: dict[int, int] = {}
        """The process of each living thread."""
        self.calls: Counter[int] = Counter()
        self.files: dict[str, FileCount] = {}
        self.faults: dict[int, tuple[int, int]] = {}
        """Minor and major page faults of the processes that have ended."""
        self.threads_created = self.processes_created = self.peak_threads = 0
        self.last_interest = 0.0
        self._idle_looks = 0

    def add_thread(self, thread: int) -> None:
        self.threads[thread] = process = process_of(thread)
        if self.begun:
            self.threads_created += process != thread
            self.processes_created += process == thread
        self.peak_threads = max(self.peak_threads, len(self.threads))
        self.last_interest = time.monotonic()

    def begin(self) -> None:
        """The command runs: what happened before is not counted."""
        if not self.begun:
            self.begun = True
            self.calls.clear()
            self.files.clear()

    def end_thread(self, thread: int) -> None:
        """A thread is about to end: keep its process's page faults, since it may be the last one. It is removed here and not
        when its end is reported: that may come after the next thread."""
        process = self.threads.pop(thread, None) or process_of(thread)
        self.faults[process] = read_faults(process)

    def enter(self, thread: int) -> bool:
        """A system call begins. Returns whether its result is of interest."""
        info = self._kernel.info
        self._kernel.read_call(thread)
        number = info[3]
        self.calls[number] += 1
        if number in self._opens:
            self._waiting[thread] = number, ""
            return True
        if number in self._reads:
            path = path_of(thread, info[4 + self._reads[number]])
            if path:
                self._waiting[thread] = number, path
            return bool(path)
        if number == self._map and not info[7] & MAP_ANONYMOUS:
            self._map_file(thread, length=info[5], descriptor=info[8], offset=info[9])
        return False

    def _map_file(self, thread: int, length: int, descriptor: int, offset: int) -> None:
        path, size = path_of(thread, descriptor), regular_size(thread, descriptor)
        if path and size is not None:
            file = self._touch(thread, path)
            file.mapped += max(0, min(length, size - offset))

    def leave(self, thread: int) -> None:
        """The result of a call that is of interest."""
        number, path = self._waiting.pop(thread, (-1, ""))
        info = self._kernel.info
        self._kernel.read_call(thread)
        failed = bool(info[4] & 0xFF)
        if failed or number < 0:
            return
        if number in self._opens:
            descriptor = info[3]
            if (path := path_of(thread, descriptor)) and regular_size(thread, descriptor) is not None:
                self.files.setdefault(path, FileCount()).opened += 1
                self.last_interest = time.monotonic()
        else:
            self._touch(thread, path).read += info[3]

    def _touch(self, thread: int, path: str) -> FileCount:
        self.last_interest = time.monotonic()
        file = self.files.setdefault(path, FileCount())
        last = self._last.get(thread, "")
        if last != path:
            if not file.previous and not file.read and not file.mapped:
                file.previous = last
            self._last[thread] = path
        return file

    def is_idle(self) -> bool:
        """Whether no call of interest was made for a while, and this look and the ones before it found no thread that runs or
        waits for a disk."""
        busy = any(state_of(thread) not in "SZX" for thread in self.threads)
        self._idle_looks = 0 if busy else self._idle_looks + 1
        quiet = time.monotonic() - max(self.last_interest, self.asked) >= QUIET_SECONDS
        return quiet and self._idle_looks >= IDLE_LOOKS

    def document(self) -> dict[str, Any]:
        """The counts; the paths are those that the processes see."""
        faults = {**self.faults, **{process: read_faults(process) for process in set(self.threads.values())}}.values()
        return {
            "machine": os.uname().machine,
            "calls": dict(self.calls),
            "files": {path: file.document() for path, file in sorted(self.files.items())},
            "minor_faults": sum(minor for minor, _ in faults),
            "major_faults": sum(major for _, major in faults),
            "threads_created": self.threads_created,
            "processes_created": self.processes_created,
            "peak_threads": self.peak_threads,
        }
