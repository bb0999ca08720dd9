"""Several jobs at a time, in threads that are stopped together."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class ThreadPool:
    """Daemon threads, since a thread that hangs in a read must not keep a stopped program alive.

    ``workers`` is the largest number of threads, ``shutdown_seconds`` the time in which stopped threads may end.
    """

    name: str
    workers: int
    shutdown_seconds: float

    def run(self, jobs: Sequence[Callable[[], Result]], stop: threading.Event) -> list[Result]:
        """The results, in the order in which jobs end. ``stop`` is set at the end, for jobs that still run.

        Raises the first error of a job, and KeyboardInterrupt at once; jobs that have not begun are dropped.
        """
        todo: queue.SimpleQueue[Callable[[], Result]] = queue.SimpleQueue()
        outcomes: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        for job in jobs:
            todo.put(job)
        threads = [
            threading.Thread(target=_work, args=(todo, outcomes), daemon=True, name=self.name)
            for _ in jobs[: self.workers]
        ]
        try:
            for thread in threads:
                thread.start()
            return [_result(outcomes.get()) for _ in jobs]
        finally:
            stop.set()
            self._join(threads)

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        deadline = time.monotonic() + self.shutdown_seconds
        for thread in threads:
            if thread.is_alive():  # a thread that never started cannot be joined
                thread.join(max(0.0, deadline - time.monotonic()))


def _work(todo: queue.SimpleQueue[Callable[[], Result]], outcomes: queue.SimpleQueue[Result | BaseException]) -> None:
    while True:
        try:
            job = todo.get_nowait()
        except queue.Empty:
            return
        try:
            outcomes.put(job())
        except BaseException as error:  # the caller's thread raises it
            outcomes.put(error)
            return


def _result(outcome: Result | BaseException) -> Result:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
