"""Cancelling downloads: a thread that reports progress after the cancellation gets an exception."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from prebake.checkpoints.progress import Progress
from prebake.errors import Interrupted


def make_interrupted() -> Interrupted:
    return Interrupted(
        "The download of the checkpoint was stopped.",
        next_action="run the same command again: downloaded bytes are kept, and the download continues after them",
    )


class CancellableProgress:
    """Progress that raises Interrupted in the thread that reports it, once ``stop`` is set."""

    def __init__(self, inner: Progress, stop: threading.Event) -> None:
        self._inner = inner
        self._stop = stop

    def expect(self, totals: Mapping[str, int]) -> None:
        self._inner.expect(totals)

    def report(self, name: str, done: int, total: int | None) -> None:
        self._check()
        self._inner.report(name, done, total)

    def note(self, name: str, text: str) -> None:
        self._check()
        self._inner.note(name, text)

    def close(self) -> None:
        self._inner.close()

    def _check(self) -> None:
        if self._stop.is_set():
            raise make_interrupted()
