"""Ending threads that fetch: whatever they report to next raises."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from prebake.checkpoints.progress import Progress
from prebake.errors import Interrupted


def interrupted() -> Interrupted:
    return Interrupted(
        "Stopped while fetching the checkpoint.",
        next_action="run the same command again: what was downloaded is kept, and it goes on from there",
    )


class Stoppable:
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
            raise interrupted()
