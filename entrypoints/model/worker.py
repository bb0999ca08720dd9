"""The threads in which the model works (one by default), and their queue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from entrypoints.contract import Batch, Field, Model
from entrypoints.forms.limits import MemoryShare
from entrypoints.model.inference import FormCall, Inference
from entrypoints.runtime.arena import find_arenas

if TYPE_CHECKING:
    from entrypoints.model.inference import Compute, Finish


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
        in_flight = 0
        while True:
            inferences = [self._inferences.get()] if self.batch is None else self._take(self.batch, in_flight)
            if len(inferences) == 1:
                outcomes = [inferences[0].work()]
            else:
                from entrypoints.model.batching import answer_batch  # late: a start does not need it

                outcomes = answer_batch(inferences)
            # Before the first answer is sent, after which its client may ask again.
            in_flight = len(inferences) + self._inferences.qsize() + (self._next is not None)
            for inference, outcome in zip(inferences, outcomes, strict=True):
                inference.end(outcome)
            del inferences, inference, outcomes, outcome  # they may be large, and the next one may come much later
            find_arenas().end_request(self.threads)

    def _take(self, batch: Batch, in_flight: int) -> list[Inference]:
        """The next inferences. ``in_flight``: how many there were when this thread had computed its last ones. Other threads that
        wait for inferences wait for this one."""
        with self._taking:
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
