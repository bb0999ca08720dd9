"""The threads in which the model works (one by default), and their queue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from entrypoints.contract import Answer, Cancelled, Field, Model
from entrypoints.runtime.arena import find_arenas


class Inference:
    """One form that the model answers. The model sees it as a ``Progress``. Its futures are done in the worker's thread.

    ``listener`` is called with what the model reports: the step, the number of steps, and a message.
    """

    def __init__(self, form: Mapping[str, object], listener: Callable[[int, int, str], None] | None = None) -> None:
        self.form = form
        self.created = time.perf_counter()
        self.started: Future[float] = Future()
        """Seconds that it waited in the queue."""
        self.answer: Future[Answer] = Future()
        self.seconds = 0.0
        self.cancel_reason: str | None = None
        self._listener = listener

    def cancel(self, reason: str) -> None:
        """Ask the model to stop; it may take its time. A form that is still queued is dropped, so that a client that sends
        many and disconnects does not fill the memory."""
        self.cancel_reason = self.cancel_reason or reason
        self.form = {}

    def cancelled(self) -> bool:
        return self.cancel_reason is not None

    __call__ = cancelled

    def report(self, step: int, steps: int, message: str = "") -> None:
        if self._listener is not None:
            # Plain numbers and text: to unpickle numpy's, the server process would have to import numpy.
            self._listener(int(step), int(steps), str(message))

    def work(self, model: Model) -> None:
        start, form = time.perf_counter(), self.form
        self.started.set_result(start - self.created)
        try:
            if self.cancelled():
                raise Cancelled
            answer = require_answer(model.generate(form, self))
        except BaseException as error:  # the thread must outlive every exception of a model, SystemExit too
            self.seconds = time.perf_counter() - start
            self.answer.set_exception(error)
        else:
            self.seconds = time.perf_counter() - start
            self.answer.set_result(answer)


def require_answer(answer: object) -> Answer:
    """The answer, if it can be sent to a client. Raises TypeError, so that a mistake of the model ends the request."""
    if isinstance(answer, Answer) and isinstance(answer.body, bytes):
        texts = [answer.media_type, *answer.headers, *answer.headers.values()]
        if all(isinstance(text, str) for text in texts):
            return answer
    raise TypeError(
        f"generate() should return an Answer of bytes, a media type and headers of text, not {answer!r:.200}"
    )


class Worker:
    """``threads`` take inferences from one queue, first in, first out."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.fields: tuple[Field, ...] = ()
        """The model's, as soon as it is loaded."""
        self._inferences: queue.SimpleQueue[Inference] = queue.SimpleQueue()

    def start(self, model: Model) -> None:
        self.fields = tuple(model.fields)
        for number in range(self.threads):
            threading.Thread(target=self._loop, args=(model,), name=f"generate-{number}", daemon=True).start()

    def submit(self, form: Mapping[str, object], listener: Callable[[int, int, str], None] | None = None) -> Inference:
        inference = Inference(form, listener)
        self._inferences.put(inference)
        return inference

    def _loop(self, model: Model) -> None:
        while True:
            inference = self._inferences.get()
            inference.work(model)
            del inference  # its form may hold a large file, and the next one may come much later
            find_arenas().end_request(self.threads)
