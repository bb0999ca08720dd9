"""The port for progress of downloads, and its two displays: on a terminal and in a log. Both write to stderr."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from prebake.io.byte_sizes import format_bytes, format_seconds
from prebake.io.terminal import is_terminal

_SPEED_WINDOW_SECONDS = 20.0  # the time left is computed from the speed of these seconds, since speeds change
_MIN_WINDOW_SECONDS = 2.0  # before the time left is shown


class Progress(Protocol):
    """Reports of a download while it runs, from several threads."""

    def expect(self, totals: Mapping[str, int]) -> None:
        """The files that will be downloaded, with their sizes in bytes if known."""

    def report(self, name: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` bytes of a file are downloaded. ``done`` falls if a download restarts."""

    def note(self, name: str, text: str) -> None:
        """An event that gets a line of its own, such as a retry or a wait for another process."""

    def close(self) -> None:
        """No more reports will follow."""


class ProgressTotals(ABC):
    """The sums that both displays show, under one lock."""

    interval = 0.0  # seconds between two drawings

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._began: float | None = None
        self._brought = 0  # bytes downloaded by this run, for the speed
        self._recent: deque[tuple[float, int]] = deque()  # a time and the bytes downloaded by then, for the time left
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
            self._log(f"{name}: {text}")

    def close(self) -> None:
        with self._lock:
            if self._done:
                files = "1 file" if len(self._done) == 1 else f"{len(self._done)} files"
                self._log(f"{files}, {format_bytes(sum(self._done.values()))}{self._pace()}")

    def _figures(self) -> str:
        done, total = sum(self._done.values()), sum(self._totals.values())
        finished = sum(1 for name, size in self._totals.items() if self._done.get(name) == size)
        files = f"{finished}/{max(len(self._totals), len(self._done))} files"
        return f"{files}, {format_bytes(done)} of {format_bytes(total)}{self._pace()}{self._left()}"

    def _left(self) -> str:
        """The time left at the speed of the last seconds; empty if a size or the speed is unknown."""
        left = sum(self._totals.values()) - sum(self._done.values())
        (since, before), (now, after) = self._recent[0], self._recent[-1]
        if left <= 0 or self._done.keys() - self._totals.keys() or now - since < _MIN_WINDOW_SECONDS or after == before:
            return ""
        return f", {format_seconds(left * (now - since) / (after - before))} left"

    def _remember(self, now: float) -> None:
        self._recent.append((now, self._brought))
        while len(self._recent) > 2 and self._recent[1][0] < now - _SPEED_WINDOW_SECONDS:
            self._recent.popleft()

    def _pace(self) -> str:
        seconds = self._clock() - (self._began or 0.0)
        return f", {format_bytes(int(self._brought / seconds))}/s" if self._brought and seconds > 0 else ""

    def _log(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    @abstractmethod
    def _draw(self, name: str) -> None: ...


class LineProgress(ProgressTotals):
    """A line every few seconds, for logs."""

    interval = 5.0

    def _draw(self, name: str) -> None:
        self._log(f"{self._figures()}: {name}")


class BarProgress(ProgressTotals):
    """One line that is redrawn, for a terminal."""

    interval = 0.1

    def _draw(self, name: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        done, total = sum(self._done.values()), sum(self._totals.values())
        filled = min(20, 20 * done // total) if total else 0
        line = f"[{'#' * filled}{'.' * (20 - filled)}] {self._figures()}: {name}"
        self._stream.write("\r" + line[:columns].ljust(columns))
        self._stream.flush()

    def _log(self, line: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        super()._log("\r" + line.ljust(columns))


def terminal_progress(stream: TextIO | None = None) -> Progress:
    """The display for a stream (default: stderr): a bar on a terminal that can redraw a line, else lines."""
    target = stream or sys.stderr
    return BarProgress(target) if is_terminal(target) else LineProgress(target)
