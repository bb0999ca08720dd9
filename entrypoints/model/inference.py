"""One request that a worker answers, alone or in a batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from entrypoints.contract import Answer, Cancelled, Model
from entrypoints.forms.limits import MemoryShare
from entrypoints.processes.log import request_context

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

    def finish(self, inference: Inference, generate: Callable[[], object]) -> Answer:
        """``generate`` computes the model's answer, or has it from a batch. Raises TypeError if it cannot be sent."""

        def check() -> Answer:
            return require_answer(generate())

        return self._finish(inference, check) if self._finish else check()


class RunningBatch:
    """The requests that one call of the model computes. A request that is cancelled leaves at once: its deadline is not that of
    the others. The last one stays, so that a model that hangs is found."""

    def __init__(self, inferences: Iterable[Inference]) -> None:
        self._unanswered = set(inferences)
        self._lock = threading.Lock()

    def leave(self, inference: Inference) -> bool:
        """Whether it may be answered now, before the others."""
        with self._lock:
            may_leave = inference in self._unanswered and len(self._unanswered) > 1
            if may_leave:
                self._unanswered.remove(inference)
            return may_leave

    def finish(self, inference: Inference) -> bool:
        """Whether it is still to be answered."""
        with self._lock:
            is_unanswered = inference in self._unanswered
            self._unanswered.discard(inference)
            return is_unanswered


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
        self.began = 0.0
        """As ``created``, by ``time.perf_counter``; 0: no worker has taken it."""
        self.started: Future[float] = Future()
        """Seconds that it waited in the queue."""
        self.answer: Future[Answer] = Future()
        self.seconds = 0.0
        self.batch_size = 0
        """The requests of the batch that it is the first of; 0 if it is another one, or the model has no batches."""
        self.times: InferTimes | None = None
        """Set by what computes an answer of the Open Inference Protocol."""
        self.cancel_reason: str | None = None
        self.batch: RunningBatch | None = None
        """The batch that computes it at the moment."""
        self._compute: Compute | None = compute
        self._listener = listener
        self._share = share

    def cancel(self, reason: str) -> None:
        """Ask the model to stop; it may take its time. The values of a request that is still queued are dropped, so that a client
        that sends many and disconnects does not fill the memory."""
        self.cancel_reason = self.cancel_reason or reason
        if not self.started.done():
            self._drop_values()
        elif (batch := self.batch) is not None and batch.leave(self):
            self._set_answer(Cancelled())

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

    def work(self) -> Answer | BaseException:
        """The answer, or what the model raised. Never raises."""
        self.batch_size = 1 if self.call is not None else 0
        compute = self.begin()
        try:
            if compute is None or self.cancelled():
                raise Cancelled
            return require_answer(compute(self))
        except BaseException as error:  # the thread must outlive every exception of a model, SystemExit too
            return error

    def begin(self) -> Compute | None:
        """The function that computes the answer; None if the inference was cancelled in the queue."""
        self.began, compute = time.perf_counter(), self._compute
        self.started.set_result(self.began - self.created)
        return compute

    def end(self, answer: Answer | BaseException) -> None:
        """Calls what waits for the answer, in this thread. Without effect if it has left its batch."""
        if (batch := self.batch) is not None:
            self.batch = None  # a circle of references would keep a large answer until the next garbage collection
            if not batch.finish(self):
                return
        self._set_answer(answer)

    def _set_answer(self, answer: Answer | BaseException) -> None:
        self.seconds = time.perf_counter() - self.began
        if isinstance(self._compute, FormCall):
            request_context.set(self._compute.context)
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
