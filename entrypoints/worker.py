"""The threads in which the model works, one by default, and the queue before them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from entrypoints.contract import Answer, Cancelled, Field, Model


class Job:
    """One form on its way through the model, which sees it as a ``Progress``. Its futures are done in the worker's thread.

    ``listener`` is told what the model reports: the step, of how many, and a message.
    """

    def __init__(self, form: Mapping[str, object], listener: Callable[[int, int, str], None] | None = None) -> None:
        self.form = form
        self.created = time.perf_counter()
        self.began: Future[float] = Future()
        """Seconds that it waited."""
        self.answer: Future[Answer] = Future()
        self.seconds = 0.0
        self.cancelled_for: str | None = None
        self._listener = listener

    def cancel(self, reason: str) -> None:
        """The model is asked to stop; it may take its time."""
        self.cancelled_for = self.cancelled_for or reason

    def cancelled(self) -> bool:
        return self.cancelled_for is not None

    __call__ = cancelled

    def report(self, step: int, steps: int, message: str = "") -> None:
        if self._listener is not None:
            # Plain numbers and text: for numpy's, the other process would have to import numpy.
            self._listener(int(step), int(steps), str(message))

    def work(self, model: Model) -> None:
        started = time.perf_counter()
        self.began.set_result(started - self.created)
        try:
            if self.cancelled():
                raise Cancelled
            answer = model.generate(self.form, self)
        except BaseException as error:  # the thread must outlive whatever a model raises, SystemExit too
            self.seconds = time.perf_counter() - started
            self.answer.set_exception(error)
        else:
            self.seconds = time.perf_counter() - started
            self.answer.set_result(answer)


class Worker:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.fields: tuple[Field, ...] = ()
        """The model's, once it is loaded."""
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()

    @property
    def waiting(self) -> int:
        return self._jobs.qsize()

    def start(self, model: Model) -> None:
        self.fields = tuple(model.fields)
        for number in range(self.threads):
            threading.Thread(target=self._loop, args=(model,), name=f"generate-{number}", daemon=True).start()

    def submit(self, form: Mapping[str, object], listener: Callable[[int, int, str], None] | None = None) -> Job:
        job = Job(form, listener)
        self._jobs.put(job)
        return job

    def _loop(self, model: Model) -> None:
        while True:
            job = self._jobs.get()
            job.work(model)
            del job  # a form may hold a large file, and the next one may come much later
