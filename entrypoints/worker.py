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
        """The model is asked to stop; it may take its time. A form that still waits for its turn is let go: who sends
        many and hangs up must not fill the memory."""
        self.cancelled_for = self.cancelled_for or reason
        self.form = {}

    def cancelled(self) -> bool:
        return self.cancelled_for is not None

    __call__ = cancelled

    def report(self, step: int, steps: int, message: str = "") -> None:
        if self._listener is not None:
            # Plain numbers and text: for numpy's, the other process would have to import numpy.
            self._listener(int(step), int(steps), str(message))

    def work(self, model: Model) -> None:
        started, form = time.perf_counter(), self.form
        self.began.set_result(started - self.created)
        try:
            if self.cancelled():
                raise Cancelled
            answer = require_answer(model.generate(form, self))
        except BaseException as error:  # the thread must outlive whatever a model raises, SystemExit too
            self.seconds = time.perf_counter() - started
            self.answer.set_exception(error)
        else:
            self.seconds = time.perf_counter() - started
            self.answer.set_result(answer)


def require_answer(answer: object) -> Answer:
    """What can be handed to the client. Raises TypeError, so that the model's mistake is seen and not waited for."""
    if isinstance(answer, Answer) and isinstance(answer.body, bytes):
        texts = [answer.media_type, *answer.headers, *answer.headers.values()]
        if all(isinstance(text, str) for text in texts):
            return answer
    raise TypeError(
        f"generate() should return an Answer of bytes, a media type and headers of text, not {answer!r:.200}"
    )


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
