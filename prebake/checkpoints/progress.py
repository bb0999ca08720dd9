"""Progress as a small port, and its two forms on a terminal and in a log. Narration: it goes to stderr."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from prebake.colour import is_terminal
from prebake.sizes import show_bytes, show_seconds

_RECENT = 20.0  # seconds that the time left is judged by: connections become faster and slower
_SETTLED = 2.0  # seconds before it is judged at all


class Progress(Protocol):
    """What a fetch tells while it runs; called from several threads."""

    def expect(self, totals: Mapping[str, int]) -> None:
        """The files that will come, with their sizes in bytes as far as they are known."""

    def report(self, name: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` bytes of a file are there; ``done`` may fall when a file starts again."""

    def note(self, name: str, text: str) -> None:
        """Something worth a line: waiting for another process, trying again."""

    def close(self) -> None:
        """Nothing more will come."""


class Silent:
    """Progress that nobody watches."""

    def expect(self, totals: Mapping[str, int]) -> None: ...

    def report(self, name: str, done: int, total: int | None) -> None: ...

    def note(self, name: str, text: str) -> None: ...

    def close(self) -> None: ...


class Tally(ABC):
    """The sums that both forms show, under one lock."""

    interval = 0.0  # seconds between two drawings

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._began: float | None = None
        self._brought = 0  # bytes that came during this run: what the speed is taken of
        self._recent: deque[tuple[float, int]] = deque()  # when how many bytes had come: what the time left is taken of
        self._drawn = float("-inf")

    def expect(self, totals: Mapping[str, int]) -> None:
        with self._lock:
            self._totals.update(totals)

    def report(self, name: str, done: int, total: int | None) -> None:
        with self._lock:
            now = self._clock()
            self._began = now if self._began is None else self._began
            self._brought += max(0, done - self._done.get(name, done))
            self._done[name] = done
            self._remember(now)
            if total is not None:
                self._totals[name] = total
            if now - self._drawn >= self.interval:
                self._drawn = now
                self._draw(name)

    def note(self, name: str, text: str) -> None:
        with self._lock:
            self._say(f"{name}: {text}")

    def close(self) -> None:
        with self._lock:
            if self._done:
                files = "1 file" if len(self._done) == 1 else f"{len(self._done)} files"
                self._say(f"{files}, {show_bytes(sum(self._done.values()))}{self._pace()}")

    def _figures(self) -> str:
        done, total = sum(self._done.values()), sum(self._totals.values())
        finished = sum(1 for name, size in self._totals.items() if self._done.get(name) == size)
        files = f"{finished}/{max(len(self._totals), len(self._done))} files"
        return f"{files}, {show_bytes(done)} of {show_bytes(total)}{self._pace()}{self._left()}"

    def _left(self) -> str:
        """The time until all is there at the speed of the last seconds; nothing as long as a size or the speed is not known."""
        left = sum(self._totals.values()) - sum(self._done.values())
        (since, before), (now, after) = self._recent[0], self._recent[-1]
        if left <= 0 or self._done.keys() - self._totals.keys() or now - since < _SETTLED or after == before:
            return ""
        return f", {show_seconds(left * (now - since) / (after - before))} left"

    def _remember(self, now: float) -> None:
        self._recent.append((now, self._brought))
        while len(self._recent) > 2 and self._recent[1][0] < now - _RECENT:
            self._recent.popleft()

    def _pace(self) -> str:
        seconds = self._clock() - (self._began or 0.0)
        return f", {show_bytes(int(self._brought / seconds))}/s" if self._brought and seconds > 0 else ""

    def _say(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    @abstractmethod
    def _draw(self, name: str) -> None: ...


class Lines(Tally):
    """Plain lines, one every few seconds: for logs."""

    interval = 5.0

    def _draw(self, name: str) -> None:
        self._say(f"{self._figures()}: {name}")


class Bar(Tally):
    """One line that is drawn over: for a terminal."""

    interval = 0.1

    def _draw(self, name: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        done, total = sum(self._done.values()), sum(self._totals.values())
        filled = min(20, 20 * done // total) if total else 0
        line = f"[{'#' * filled}{'.' * (20 - filled)}] {self._figures()}: {name}"
        self._stream.write("\r" + line[:columns].ljust(columns))
        self._stream.flush()

    def _say(self, line: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        super()._say("\r" + line.ljust(columns))


def terminal_progress(stream: TextIO | None = None) -> Progress:
    """The form that fits the stream (stderr): a bar on a terminal that can draw over a line, plain lines anywhere else."""
    target = stream or sys.stderr
    return Bar(target) if is_terminal(target) else Lines(target)
