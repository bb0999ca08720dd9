"""How much one model is used: requests in flight, and how long its answers took."""

from __future__ import annotations

import threading

BUCKET_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Histogram:
    """A Prometheus histogram of durations in seconds."""

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKET_SECONDS)
        self.sum = 0.0
        self.count = 0
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        with self._lock:
            self.sum += seconds
            self.count += 1
            for index, bound in enumerate(BUCKET_SECONDS):
                if seconds <= bound:
                    self.counts[index] += 1

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0


class Usage:
    """The usage of one model."""

    def __init__(self) -> None:
        self.receiving = 0
        """Requests whose body is not complete."""
        self.in_flight = 0
        """Requests that have a place in the queue, or are at work."""
        self.generate = Histogram()

    @property
    def unanswered(self) -> int:
        return self.receiving + self.in_flight
