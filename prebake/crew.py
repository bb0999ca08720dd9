"""Several jobs at a time, stopped as one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Crew:
    """Daemon threads: one that hangs in a read must not keep a stopped program alive.

    ``workers`` is how many at most, ``farewell`` how many seconds they get to end once they are stopped.
    """

    name: str
    workers: int
    farewell: float

    def carry_out(self, jobs: Sequence[Callable[[], Result]], stop: threading.Event) -> list[Result]:
        """The results, as they came. ``stop`` is set at the end, for jobs that are still running to look at.

        Raises the first error of a job, and KeyboardInterrupt at once; what is not begun by then is left.
        """
        todo: queue.SimpleQueue[Callable[[], Result]] = queue.SimpleQueue()
        done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        for job in jobs:
            todo.put(job)
        threads = [
            threading.Thread(target=_work, args=(todo, done), daemon=True, name=self.name) for _ in jobs[: self.workers]
        ]
        try:
            for thread in threads:
                thread.start()
            return [_result(done.get()) for _ in jobs]
        finally:
            stop.set()
            self._part(threads)

    def _part(self, threads: Sequence[threading.Thread]) -> None:
        deadline = time.monotonic() + self.farewell
        for thread in threads:
            if thread.is_alive():  # one that never started cannot be joined
                thread.join(max(0.0, deadline - time.monotonic()))


def _work(todo: queue.SimpleQueue[Callable[[], Result]], done: queue.SimpleQueue[Result | BaseException]) -> None:
    while True:
        try:
            job = todo.get_nowait()
        except queue.Empty:
            return
        try:
            done.put(job())
        except BaseException as error:  # handed to the caller's thread, which raises it
            done.put(error)
            return


def _result(outcome: Result | BaseException) -> Result:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
