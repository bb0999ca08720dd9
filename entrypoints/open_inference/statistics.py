"""Triton's statistics extension: how often and how long one model was asked, since it was loaded."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from entrypoints.open_inference.models import VERSION

MAX_BATCH_SIZES = 64
"""Batch sizes that are counted by themselves. A client may send any number of different ones."""


class InferTimes(NamedTuple):
    """Where the time of one answer went, in nanoseconds. ``batch_size``: the length of the first axis of the inputs, 1 if it is
    fixed."""

    compute_input: int
    compute_infer: int
    compute_output: int
    batch_size: int = 1


class Duration:
    """A count, and the sum of durations in nanoseconds."""

    __slots__ = ("count", "ns")

    def __init__(self) -> None:
        self.count = 0
        self.ns = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    def describe(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


class BatchStatistics:
    """The durations of all executions of one batch size."""

    __slots__ = ("infer", "input", "output")

    def __init__(self) -> None:
        self.input, self.infer, self.output = Duration(), Duration(), Duration()

    def add(self, times: InferTimes) -> None:
        self.input.add(times.compute_input)
        self.infer.add(times.compute_infer)
        self.output.add(times.compute_output)

    def describe(self) -> dict[str, dict[str, int]]:
        return {
            "compute_input": self.input.describe(),
            "compute_infer": self.infer.describe(),
            "compute_output": self.output.describe(),
        }


class ModelStatistics:
    """The statistics of one model. Only the event loop of the server process calls it."""

    def __init__(self) -> None:
        self._last_inference_ms = 0
        self._inferences = 0
        self._success, self._fail, self._queue = Duration(), Duration(), Duration()
        self._all = BatchStatistics()
        self._batches: dict[int, BatchStatistics] = {}

    def add_success(self, whole: int, queue: int, times: InferTimes) -> None:
        """``whole``: from the request's arrival to its answer, ``queue``: the part of it before the model began; nanoseconds."""
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._inferences += times.batch_size
        self._success.add(whole)
        self._queue.add(queue)
        self._all.add(times)
        batch = self._batches.get(times.batch_size)
        if batch is None:
            if len(self._batches) >= MAX_BATCH_SIZES:
                return
            batch = self._batches[times.batch_size] = BatchStatistics()
        batch.add(times)

    def add_failure(self, whole: int) -> None:
        """A request that ended with an error, whoever caused it."""
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._fail.add(whole)

    def describe(self, name: str) -> dict[str, Any]:
        nothing = Duration().describe()
        return {
            "name": name,
            "version": VERSION,
            "last_inference": self._last_inference_ms,
            "inference_count": self._inferences,
            "execution_count": self._all.infer.count,
            "inference_stats": {
                "success": self._success.describe(),
                "fail": self._fail.describe(),
                "queue": self._queue.describe(),
                **self._all.describe(),
                "cache_hit": nothing,
                "cache_miss": nothing,
            },
            "response_stats": {},
            "batch_stats": [{"batch_size": size, **batch.describe()} for size, batch in sorted(self._batches.items())],
            "memory_usage": [],
        }
