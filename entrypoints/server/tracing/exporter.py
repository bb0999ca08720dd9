"""Sends spans to the collector, in batches, from a thread of its own. A caller that adds spans never waits."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from entrypoints.processes.log import log_event
from entrypoints.server.tracing.settings import TraceSettings
from entrypoints.server.tracing.spans import Attributes, Span, encode
from entrypoints.version import VERSION

MAX_QUEUE = 2048
"""The most spans that wait. Later ones are dropped and counted."""
MAX_BATCH = 512
DELAY_SECONDS = 1.0
"""How long a batch waits for more spans after its first one, unless it is full earlier."""
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""After a failure that may pass, until the batch is sent again. After the last one it is dropped."""
MAX_RETRY_AFTER_SECONDS = 30.0
PASSING = (429, 502, 503, 504)
"""Statuses after which OTLP asks clients to try again; of any other, the batch is dropped."""
MAX_ANSWER_BYTES = 64 * 1024


class Failure(Exception):
    """An export failed. ``retry_after``: seconds until it may be tried again, None if it never will succeed."""

    def __init__(self, reason: str, retry_after: float | None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Exporter:
    def __init__(
        self, settings: TraceSettings, describe_resource: Callable[[], Attributes], counts: Counter[str]
    ) -> None:
        """``describe_resource`` is called with each batch: the name of the model is known later. ``counts``: of spans, by what
        became of them."""
        self._settings = settings
        self._describe_resource = describe_resource
        self._counts = counts
        self._waiting: deque[Span] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failing = False

    def add(self, spans: Sequence[Span]) -> None:
        """From any thread."""
        with self._changed:
            room = MAX_QUEUE - len(self._waiting)
            self._waiting.extend(spans[:room])
            self._counts["dropped"] += len(spans[room:])
            if self._thread is None and not self._start():
                self._counts["dropped"] += len(self._waiting)
                self._waiting.clear()
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Send what waits, at most for so many seconds. Not from the event loop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _start(self) -> bool:
        """Called with the first span, so that a server that has no spans needs no thread. False at the limit of threads."""
        thread = threading.Thread(target=self._export, name="traces", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _export(self) -> None:
        while batch := self._take():
            try:
                self._send_patiently(batch)
            except Exception as error:  # the thread must outlive every batch
                self._drop(batch, f"{type(error).__name__}: {error}")

    def _take(self) -> list[Span]:
        """Waits for a batch. Empty if there is none and the server ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: len(self._waiting) >= MAX_BATCH or self._closing, DELAY_SECONDS)
            return [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]

    def _send_patiently(self, batch: list[Span]) -> None:
        body = encode(self._describe_resource(), VERSION, batch)
        for pause in (*RETRY_SECONDS, None):
            try:
                rejected = min(len(batch), self._send(body))
            except Failure as failure:
                if failure.retry_after is None or pause is None or self._closing:
                    self._drop(batch, str(failure))
                    return
                self._log_failure(str(failure))
                self._wait(max(pause, failure.retry_after))
            else:
                self._failing = False
                self._counts["exported"] += len(batch) - rejected
                if rejected:
                    self._counts["rejected"] += rejected
                return

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)

    def _drop(self, batch: Sequence[Span], reason: str) -> None:
        self._counts["dropped"] += len(batch)
        self._log_failure(reason)

    def _log_failure(self, reason: str) -> None:
        """Once, until an export succeeds."""
        if not self._failing:
            self._failing = True
            log_event("traces not exported", level="warning", text=reason, endpoint=self._settings.place)

    def _send(self, body: bytes) -> int:
        """How many spans the collector rejected. Raises Failure."""
        import http.client  # in this thread, with the first batch: a start does not wait for it

        settings = self._settings
        try:
            kind = http.client.HTTPSConnection if settings.scheme == "https" else http.client.HTTPConnection
        except AttributeError:
            raise Failure("this Python has no TLS (module ssl)", None) from None
        connection = kind(settings.host, settings.port, timeout=settings.seconds)
        deadline = time.monotonic() + settings.seconds
        try:
            headers = {"user-agent": f"OTel-OTLP-Exporter-Prebake/{VERSION}", **settings.headers}
            connection.request("POST", settings.path, body, {**headers, "content-type": "application/json"})
            if connection.sock is not None:
                connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
            response = connection.getresponse()
            answer = b""
            while len(answer) < MAX_ANSWER_BYTES and (part := response.read1(MAX_ANSWER_BYTES - len(answer))):
                answer += part
                if time.monotonic() > deadline:  # the socket's time is for each part
                    raise TimeoutError("the answer did not end in time")
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"{type(error).__name__}: {error}", 0.0) from None
        finally:
            connection.close()
        if response.status in PASSING:
            raise Failure(
                f"the collector answered {response.status}", read_retry_after(response.getheader("retry-after"))
            )
        if not 200 <= response.status < 300:
            raise Failure(f"the collector answered {response.status}", None)
        return count_rejected(answer)


def read_retry_after(value: str | None) -> float:
    return min(float(value), MAX_RETRY_AFTER_SECONDS) if value and value.isdecimal() else 0.0


def count_rejected(answer: bytes) -> int:
    """The rejected spans that an ExportTraceServiceResponse in JSON counts; 0 if the answer is anything else."""
    import json

    try:
        return max(0, int(json.loads(answer)["partialSuccess"]["rejectedSpans"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0
