"""A request that is cancelled leaves the batch that computes it, and the last one stays: with real threads."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Mapping, Sequence

import pytest

from entrypoints.contract import Answer, Batch, Cancellation, Cancelled, Field
from entrypoints.model.inference import Inference
from entrypoints.model.worker import Worker
from tests.support.container.running import wait_until


class Held:
    """Its calls wait for ``go_on``. ``together`` is set once a batch is at work."""

    fields: Sequence[Field] = ()
    batch = Batch(size=8)

    def __init__(self) -> None:
        self.begin = threading.Event()
        self.together = threading.Event()
        self.go_on = threading.Event()

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        assert self.begin.wait(60)
        return Answer(b"alone", "text/plain")

    def generate_batch(
        self, forms: Sequence[Mapping[str, object]], cancelled: Sequence[Cancellation]
    ) -> Sequence[Answer | Exception]:
        self.together.set()
        assert self.go_on.wait(60)
        return [Answer(b"together", "text/plain") for _ in forms]


def begin_batch(model: Held, size: int) -> list[Inference]:
    worker = Worker(1)
    worker.start(model)
    first = worker.submit(worker.make_call({}, {}))
    first.started.result(60)
    inferences = [worker.submit(worker.make_call({}, {})) for _ in range(size)]
    model.begin.set()
    assert model.together.wait(60)
    return inferences


def test_a_cancelled_request_ends_while_the_others_are_computed() -> None:
    """Otherwise it would be past its deadline as long as the batch lasts, and a sound model would count as hung."""
    model = Held()
    late, other = begin_batch(model, 2)
    late.cancel("it is late")
    with pytest.raises(Cancelled):
        late.answer.result(60)
    assert not other.answer.done()
    model.go_on.set()
    assert other.answer.result(60).body == b"together"


def test_the_last_request_stays_so_that_a_model_that_hangs_is_found() -> None:
    model = Held()
    first, last = begin_batch(model, 2)
    first.cancel("it is late")
    last.cancel("it is late")
    last.cancel("again")
    assert first.answer.done()
    assert not last.answer.done()
    model.go_on.set()
    assert last.answer.result(60).body == b"together"


def test_a_batch_keeps_no_answer() -> None:
    """A circle of references would keep it until the next garbage collection."""
    gc.disable()
    try:
        model = Held()
        inferences = begin_batch(model, 3)
        ends = [weakref.ref(inference) for inference in inferences]
        model.go_on.set()
        for inference in inferences:
            inference.answer.result(60)
        del inference, inferences
        wait_until(lambda: all(end() is None for end in ends), "the end of the inferences")
    finally:
        gc.enable()
