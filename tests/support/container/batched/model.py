"""The tiny model with batches. ``TINY_NOTES/batches`` has a line for each: the manners of its requests."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from entrypoints.contract import Answer, BadRequest, Batch, Cancellation, Cancelled, Components
from tests.support.container.tiny.model import NOTES, Tiny, note, wait_for

SIZE = 4
"""Of a batch: the sum of its requests' ``repeat``."""


def measure(form: Mapping[str, object]) -> int:
    if form["manner"] == "header":
        raise BadRequest("this manner has no size", field="manner")
    return int(str(form["repeat"]))


class Batched(Tiny):
    batch = Batch(size=SIZE, measure=measure)

    def generate_batch(
        self, forms: Sequence[Mapping[str, object]], cancelled: Sequence[Cancellation]
    ) -> list[Answer | Exception]:
        """Raises what a whole batch may raise: by the manner ``crash``, or MemoryError by ``huge``."""
        manners = [str(form["manner"]) for form in forms]
        with (NOTES / "batches").open("a") as notes:
            notes.write(" ".join(manners) + "\n")
        if "steps" in manners:  # the batch goes on once the test says so
            note("together")
            wait_for("go-on", lambda: False)
        if "huge" in manners:
            raise MemoryError("the batch is too large")
        if "crash" in manners:
            raise RuntimeError("the batch crashed")
        return [self._answer(form, stop) for form, stop in zip(forms, cancelled, strict=True)][: self._count(manners)]

    def _answer(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer | Exception:
        if cancelled():
            return Cancelled()
        try:
            return self.generate(
                {**form, "manner": "plain"} if form["manner"] in ("steps", "talk") else form, cancelled
            )
        except BadRequest as error:
            return error

    def _count(self, manners: Sequence[str]) -> int | None:
        """``talk``: fewer answers than forms."""
        return -1 if "talk" in manners else None


def create(components: Components) -> Batched:
    model = Batched(components)
    if "BATCHED_WRONGLY" in os.environ:
        model.batch = Batch(size=0)
    return model
