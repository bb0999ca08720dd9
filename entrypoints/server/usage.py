"""Counters of requests, by model and for the whole server. ``entrypoints.server.metrics`` shows them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from entrypoints.forms.limits import RequestMemory

BUCKET_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
RECENT_REQUESTS = 20
"""Requests that are kept for the page."""
OPERATIONS = "/v2/repository/models/"
"""Where the routes of an operator's requests begin: load, unload, clear."""
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """A Prometheus histogram, of durations in seconds or with other ``bounds``."""

    def __init__(self, bounds: Sequence[float] = BUCKET_SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * len(bounds)
        self.sum = 0.0
        self.count = 0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self.sum += value
            self.count += 1
            for index, bound in enumerate(self.bounds):
                if value <= bound:
                    self.counts[index] += 1

    def read(self) -> tuple[list[int], float, int]:
        """The counts of the buckets, the sum and the count, which belong together."""
        with self._lock:
            return list(self.counts), self.sum, self.count

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0


class RecentRequest(NamedTuple):
    """Nothing in it comes from the client."""

    time: float
    """When its answer ended, in seconds since the epoch."""
    method: str
    route: str
    """The endpoint, or its pattern."""
    model: str
    """Empty in an image of one model."""
    status: int
    seconds: float


class Usage:
    """The usage of one model."""

    def __init__(self) -> None:
        self.receiving = 0
        """Requests whose body is not complete."""
        self.in_flight = 0
        """Requests that have a place in the queue, or are at work."""
        self.generate = Histogram()
        self.queue = Histogram()
        self.batches = Histogram(BATCH_SIZES)
        """Requests of each batch; none for a model without batches."""
        self.arrivals = 0
        """Complete requests for an inference, from ready on."""
        self.hits = 0
        """Arrivals that met the model with all of its components in memory."""
        self.waiting = 0
        """Requests in flight that wait for the model to be loaded."""
        self.last_used = 0.0
        """When a request for an inference was last at work, by the loop's clock."""
        self.loads = Histogram()
        """Seconds until the model could answer, for each load after the start."""
        self.evictions: Counter[str] = Counter()
        """How many times the model was unloaded, by reason."""
        self.requests: dict[int, Histogram] = {}
        """By status, a histogram of the time from a request's first byte to the last byte of its answer."""

    @property
    def unanswered(self) -> int:
        return self.receiving + self.in_flight


class ServerUsage:
    """The usage of the whole server."""

    def __init__(self, memory: RequestMemory) -> None:
        self.memory = memory
        """The budget of the bodies of all requests."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By route, model and status. The route ``invalid`` stands for requests whose head was refused, ``other`` for paths that
        the server does not have. The model is empty in an image of one model, and for requests that are about none."""
        self.recent: deque[RecentRequest] = deque(maxlen=RECENT_REQUESTS)
        """The last requests for models, and the last of an operator; the newest last."""
        self.connections = 0
        self.overload_connections = 0
        self.spans: Counter[str] = Counter()
        """Spans of OpenTelemetry, by what became of them."""

    def count_request(self, state: Mapping[str, Any], status: int, seconds: float) -> None:
        """``state``: the scope's. Its ``route`` is an endpoint or a pattern, never what a client wrote; its ``served`` is the
        model that the request is for."""
        served, route = state.get("served"), state.get("route", "other")
        name = served.name if served else ""
        self.requests[route, name, status] += 1
        if served is not None or route.startswith(OPERATIONS):  # all of these are POST
            self.recent.append(RecentRequest(time.time(), "POST", route, name, status, seconds))
        if served is not None:
            histogram = served.usage.requests.get(status)
            if histogram is None:
                histogram = served.usage.requests[status] = Histogram()
            histogram.observe(seconds)
