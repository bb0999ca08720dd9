"""How long a worker waits for a batch: with real threads, and a wait that no test would survive if it were served in vain."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from entrypoints.contract import Answer, Batch, Cancellation, Field
from entrypoints.model.inference import Inference
from entrypoints.model.worker import Worker, find_batch

LONG = 3600.0


class Counter:
    """Answers with the number of forms that it got together. The first call waits for ``begin``."""

    fields: Sequence[Field] = ()

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.begin = threading.Event()

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        assert self.begin.wait(60)
        return Answer(b"1", "text/plain")

    def generate_batch(
        self, forms: Sequence[Mapping[str, object]], cancelled: Sequence[Cancellation]
    ) -> Sequence[Answer | Exception]:
        return [Answer(str(len(forms)).encode(), "text/plain")] * len(forms)


def start(batch: Batch) -> tuple[Worker, Counter]:
    worker, model = Worker(1), Counter(batch)
    worker.start(model)
    return worker, model


def submit(worker: Worker) -> Inference:
    return worker.submit(worker.make_call({}, {}))


def submit_and_wait(worker: Worker) -> Inference:
    """It is at work when this returns, so that it is in no batch with later ones."""
    inference = submit(worker)
    inference.started.result(60)
    return inference


def count(inference: Inference) -> int:
    return int(inference.answer.result(60).body)


def test_clients_that_were_answered_may_ask_again_before_the_next_batch() -> None:
    worker, model = start(Batch(wait=LONG))
    first = submit_and_wait(worker)
    queued = [submit(worker) for _ in range(2)]
    model.begin.set()
    assert count(first) == 1  # three are in flight, two of them queued: the worker waits for the third
    assert not any(each.answer.done() for each in queued)
    assert [count(each) for each in (*queued, submit(worker))] == [3, 3, 3]


def test_a_client_alone_never_waits() -> None:
    worker, model = start(Batch(wait=LONG))
    model.begin.set()
    assert [count(submit(worker)) for _ in range(3)] == [1, 1, 1]


def test_nothing_waits_for_a_batch_that_is_full() -> None:
    worker, model = start(Batch(size=2, wait=LONG))
    waiting = [submit_and_wait(worker), *(submit(worker) for _ in range(4))]
    model.begin.set()
    assert [count(each) for each in waiting] == [1, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [((0, -1.0), (32, 0.5)), ((8, 0.0), (8, 0.0)), ((64, 2.0), (32, 2.0))],
)
def test_settings_replace_the_wait_and_limit_the_size(settings: tuple[int, float], expected: tuple[int, float]) -> None:
    batch = find_batch(Counter(Batch(wait=0.5)), *settings)
    assert batch is not None
    assert (batch.size, batch.wait) == expected


@pytest.mark.parametrize("batch", [Batch(size=0), Batch(wait=-1.0), Batch(wait=float("nan")), {"size": 3}])
def test_a_batch_that_makes_no_sense_is_refused(batch: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="should have a"):
        find_batch(Counter(batch), 0, -1.0)
