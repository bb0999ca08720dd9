"""The threads in which the model works (one by default), and their queue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from entrypoints.contract import Answer, Batch, Cancelled, Field, Model
from entrypoints.forms.limits import MemoryShare
from entrypoints.processes.log import request_context
from entrypoints.runtime.arena import find_arenas

if TYPE_CHECKING:
    from entrypoints.open_inference.statistics import InferTimes

    Compute = Callable[["Inference"], Answer]
    """A worker calls it for one request: usually the model's ``generate``, with the request's values."""
    Finish = Callable[["Inference", Callable[[], Answer]], Answer]
    """Makes an answer of the model's, which the second argument computes."""


class FormCall:
    """A request for the model's own code. It is the compute of an inference; requests of one batch are computed together."""

    def __init__(
        self, model: Model, context: Mapping[str, str], values: Mapping[str, object], size: int, finish: Finish | None
    ) -> None:
        """``size``: how much of a batch it takes; 0: it is in no batch. ``finish`` makes its answer of the model's."""
        self.model = model
        self.context = context
        self.values = values
        self.size = size
        self._finish = finish

    def __call__(self, inference: Inference) -> Answer:
        """In the worker's thread, whose lines of the log are about this request until it takes the next one."""
        request_context.set(self.context)
        return self.finish(inference, lambda: self.model.generate(self.values, inference))

    def finish(self, inference: Inference, generate: Callable[[], Answer]) -> Answer:
        return self._finish(inference, generate) if self._finish else generate()


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
        self.batch_size = 0
        """The requests of the batch that it is the first of; 0 if it is another one, or the model has no batches."""
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

    @property
    def call(self) -> FormCall | None:
        """None if it cannot be in a batch, and once it is cancelled."""
        compute = self._compute
        return compute if isinstance(compute, FormCall) and compute.size else None

    def work(self) -> None:
        self.batch_size = 1 if self.call is not None else 0
        start, compute = self.begin()
        try:
            if compute is None or self.cancelled():
                raise Cancelled
            answer: Answer | BaseException = require_answer(compute(self))
        except BaseException as error:  # the thread must outlive every exception of a model, SystemExit too
            answer = error
        self.end(start, answer)

    def begin(self) -> tuple[float, Compute | None]:
        """The time, and what computes the answer: None if the inference was cancelled in the queue."""
        start, compute = time.perf_counter(), self._compute
        self.started.set_result(start - self.created)
        return start, compute

    def end(self, start: float, answer: Answer | BaseException) -> None:
        """``start``: when it began. Calls what waits for the answer, in this thread."""
        self.seconds = time.perf_counter() - start
        self._drop_values()
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)

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
    """``threads`` take inferences from one queue, first in, first out: one by one, or in batches if the model has them."""

    def __init__(self, threads: int, batch_size: int = 0, batch_wait: float = -1.0) -> None:
        """``batch_size`` and ``batch_wait``: as in ``entrypoints.settings.Settings``."""
        self.threads = threads
        self.fields: tuple[Field, ...] = ()
        """The model's, as soon as it is loaded."""
        self.model: Model | None = None
        self.batch: Batch | None = None
        """The model's within the settings. None if requests are answered one by one."""
        self._batch_size = batch_size
        self._batch_wait = batch_wait
        self._inferences: queue.SimpleQueue[Inference] = queue.SimpleQueue()
        self._taking = threading.Lock()
        self._next: Inference | None = None
        """The next in the queue: it did not fit into the batch before it."""

    def start(self, model: Model) -> None:
        """Raises TypeError or ValueError if the model's ``batch`` cannot be used."""
        self.batch = find_batch(model, self._batch_size, self._batch_wait)
        self.model, self.fields = model, tuple(model.fields)
        for number in range(self.threads):
            threading.Thread(target=self._loop, name=f"generate-{number}", daemon=True).start()

    def make_call(
        self, context: Mapping[str, str], values: Mapping[str, object], finish: Finish | None = None
    ) -> FormCall:
        """``context``: that of the request in the log. Raises what the model's ``Batch.measure`` raises."""
        assert self.model is not None  # requests come after ready  # noqa: S101
        size = 0
        if self.batch is not None:
            size = max(1, self.batch.measure(values)) if self.batch.measure else 1
        return FormCall(self.model, context, values, size, finish)

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
        answered = 0
        while True:
            inferences = [self._inferences.get()] if self.batch is None else self._take(self.batch, answered)
            answered = len(inferences)
            if answered == 1:
                inferences[0].work()
            else:
                from entrypoints.model.batching import answer_batch  # late: a start does not need it

                answer_batch(inferences)
            del inferences  # their answers may be large, and the next one may come much later
            find_arenas().end_request(self.threads)

    def _take(self, batch: Batch, answered: int) -> list[Inference]:
        """The next inferences. ``answered``: how many this thread has just answered. Other threads that wait for inferences wait
        for this one."""
        with self._taking:
            in_flight = answered + self._inferences.qsize() + (self._next is not None)
            deadline = time.perf_counter() + batch.wait
            first, self._next = self._next or self._inferences.get(), None
            taken, call = [first], first.call
            size = batch.size if call is None else call.size
            while size < batch.size:
                patience = max(0.0, deadline - time.perf_counter()) if len(taken) < in_flight else 0.0
                try:
                    other = self._inferences.get(patience > 0, patience)
                except queue.Empty:
                    break
                call, is_cancelled = other.call, other.cancelled()
                if not is_cancelled and (call is None or size + call.size > batch.size):
                    self._next = other
                    break
                taken.append(other)
                size += call.size if call is not None else 0
            return taken


def find_batch(model: Model, size: int, wait: float) -> Batch | None:
    """The model's ``batch`` within the settings; None if it has none. Raises TypeError, or ValueError, if it cannot be used."""
    batch = getattr(model, "batch", None)
    if batch is None:
        return None
    if not isinstance(batch, Batch) or not callable(getattr(model, "generate_batch", None)):
        raise TypeError("a model with batches should have a Batch as its attribute batch, and a method generate_batch")
    if batch.size < 1 or not 0 <= batch.wait < float("inf"):
        raise ValueError(f"a Batch should have a size of at least 1 and a wait of at least 0 seconds, not {batch}")
    batch = batch._replace(size=min(size or batch.size, batch.size), wait=batch.wait if wait < 0 else wait)
    return batch if batch.size > 1 else None
