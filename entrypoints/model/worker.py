"""The threads in which the model works (one by default), and their queue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from entrypoints.contract import Answer, Cancelled, Field, Model
from entrypoints.forms.limits import MemoryShare
from entrypoints.runtime.arena import find_arenas

if TYPE_CHECKING:
    from entrypoints.open_inference.statistics import InferTimes

    Compute = Callable[["Inference"], Answer]
    """A worker calls it for one request: usually the model's ``generate``, with the request's values."""


class Inference:
    """One request that the model answers. The model sees it as a ``Progress``. Its futures are done in the worker's thread.

    ``listener`` is called with what the model reports: the step, the number of steps, and a message. ``share`` is the memory
    that the request's values take.
    """

    def __init__(
        self,
        compute: Compute,
        listener: Callable[[int, int, str], None] | None = None,
        share: MemoryShare | None = None,
    ) -> None:
        self.created = time.perf_counter()
        self.started: Future[float] = Future()
        """Seconds that it waited in the queue."""
        self.answer: Future[Answer] = Future()
        self.seconds = 0.0
        self.times: InferTimes | None = None
        """Set by what computes an answer of the Open Inference Protocol."""
        self.cancel_reason: str | None = None
        self._compute: Compute | None = compute
        self._listener = listener
        self._share = share

    def cancel(self, reason: str) -> None:
        """Ask the model to stop; it may take its time. The values of a request that is still queued are dropped, so that a client
        that sends many and disconnects does not fill the memory."""
        self.cancel_reason = self.cancel_reason or reason
        if not self.started.done():
            self._drop_values()

    def cancelled(self) -> bool:
        return self.cancel_reason is not None

    __call__ = cancelled

    def report(self, step: int, steps: int, message: str = "") -> None:
        if self._listener is not None:
            # Plain numbers and text: to unpickle numpy's, the server process would have to import numpy.
            self._listener(int(step), int(steps), str(message))

    def work(self) -> None:
        start, compute = time.perf_counter(), self._compute
        self.started.set_result(start - self.created)
        try:
            if compute is None or self.cancelled():
                raise Cancelled
            answer = require_answer(compute(self))
        except BaseException as error:  # the thread must outlive every exception of a model, SystemExit too
            self._end(start)
            self.answer.set_exception(error)
        else:
            self._end(start)
            self.answer.set_result(answer)

    def _end(self, start: float) -> None:
        self.seconds = time.perf_counter() - start
        self._drop_values()

    def _drop_values(self) -> None:
        self._compute = None
        if self._share is not None:
            self._share.close()


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
        self.model: Model | None = None
        self._inferences: queue.SimpleQueue[Inference] = queue.SimpleQueue()

    def start(self, model: Model) -> None:
        self.model, self.fields = model, tuple(model.fields)
        for number in range(self.threads):
            threading.Thread(target=self._loop, name=f"generate-{number}", daemon=True).start()

    def submit(
        self,
        compute: Compute,
        listener: Callable[[int, int, str], None] | None = None,
        share: MemoryShare | None = None,
    ) -> Inference:
        inference = Inference(compute, listener, share)
        self._inferences.put(inference)
        return inference

    def _loop(self) -> None:
        while True:
            inference = self._inferences.get()
            inference.work()
            del inference  # its answer may be large, and the next one may come much later
            find_arenas().end_request(self.threads)
