"""Steady mixed load on one server: clients of several kinds, each in a thread of its own, and the tally of what they saw."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from prebake.measure import client
from prebake.measure.answers import measure_distance
from prebake.measure.warmup_request import WarmupRequest
from tests.support.hostile.catalogue import Catalogue
from tests.support.hostile.sender import send

PAUSE_SECONDS = 0.02
"""Between two requests of a client."""
BUSY_PAUSE_SECONDS = 0.5
"""Of a client whose request was refused since the queue was full. Clients that leave early fill it on a slow machine: behind a
proxy the server takes seconds to notice that they are gone."""
PATIENCE_SECONDS = 60.0
JSON = {"Content-Type": "application/json"}
INVALID: Sequence[tuple[int, str, str, bytes, Mapping[str, str]]] = (
    (400, "POST", "/generate", b"{", JSON),
    (400, "POST", "/generate", b"x", {"Content-Type": "multipart/form-data; boundary=b"}),
    (404, "GET", "/nothing", b"", {}),
    (405, "DELETE", "/generate", b"", {}),
    (413, "POST", "/generate", b"{}", {**JSON, "Content-Length": str(10 << 30)}),
    (415, "POST", "/generate", b"x", {"Content-Type": "text/plain"}),
    (422, "POST", "/generate", b'{"no such field": 1}', JSON),
)
"""Status, method, path, body and headers of requests that every model refuses."""
POLLS = ("/health", "/v2/health/ready", "/metrics", "/v2/health/live", "/startup", "/")


@dataclass
class Tally:
    """What the clients saw. ``busy``: requests that were told to come back later (503). ``latencies`` are of valid requests: the
    time of the answer (``time.monotonic``) and the seconds that it took."""

    requests: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, seconds: float, problem: str) -> None:
        with self._lock:
            self.requests[kind] += 1
            if problem == BUSY:
                self.busy[kind] += 1
            elif problem:
                self.problems[kind, problem] += 1
            elif kind == VALID:
                self.latencies.append((time.monotonic(), seconds))


@dataclass(frozen=True)
class Kind:
    """``send`` gets the port and the number of the request, and returns the problem that it saw; empty if there was none."""

    name: str
    clients: int
    send: Callable[[int, int], str]


BUSY = "busy"
"""Instead of a problem: the queue is full."""
VALID = "valid requests"
HOSTILE = "hostile requests"


def kinds_of_load(warmup: WarmupRequest, catalogue: Catalogue) -> Sequence[Kind]:
    return (
        Kind(VALID, 2, partial(ask, warmup)),
        Kind("event streams", 1, partial(ask_for_events, warmup)),
        Kind("invalid requests", 1, ask_wrongly),
        Kind("clients that leave early", 1, partial(leave_early, warmup)),
        Kind("polls of health and metrics", 1, poll),
        Kind(HOSTILE, 1, partial(ask_hostilely, catalogue)),
    )


@contextmanager
def load(port: int, kinds: Sequence[Kind], tally: Tally) -> Iterator[None]:
    """The clients work while the block lasts."""
    over = threading.Event()

    def work(kind: Kind) -> None:
        number = 0
        while not over.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                problem = kind.send(port, number)
            except (OSError, http.client.HTTPException) as error:
                problem = f"no answer ({type(error).__name__})"
            tally.add(kind.name, time.monotonic() - began, problem)
            number += 1
            if problem == BUSY:
                over.wait(BUSY_PAUSE_SECONDS)

    clients = [threading.Thread(target=work, args=[kind], daemon=True) for kind in kinds for _ in range(kind.clients)]
    for each in clients:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in clients:
            each.join(PATIENCE_SECONDS)


def ask(warmup: WarmupRequest, port: int, number: int) -> str:
    reply = client.post(port, warmup.request, timeout=PATIENCE_SECONDS)
    return describe_status(200, reply.status) or describe_answer(warmup, reply.body)


def ask_for_events(warmup: WarmupRequest, port: int, number: int) -> str:
    """The last event has to be the answer."""
    with exchange(port, warmup, {"Accept": "text/event-stream"}) as connection:
        response = connection.getresponse()
        if problem := describe_status(200, response.status):
            return problem
        *_, last = response.read().decode().strip().split("\n\n")
    name, _, data = last.partition("\n")
    if name != "event: answer":
        return f"a stream ended with {name!r}"
    answer = json.loads(data.removeprefix("data: "))
    return describe_answer(
        warmup, json.dumps(answer["json"]).encode() if "json" in answer else base64.b64decode(answer["body"])
    )


def ask_wrongly(port: int, number: int) -> str:
    status, method, path, body, headers = INVALID[number % len(INVALID)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body or None, dict(headers))
        return describe_status(status, connection.getresponse().status)
    finally:
        connection.close()


def leave_early(warmup: WarmupRequest, port: int, number: int) -> str:
    """In the middle of the body, after the request, or after the first bytes of a stream."""
    body, kind = warmup.request.encode()
    if number % 3 == 0:
        head = f"POST {warmup.request.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
            connection.sendall(head.encode() + body[: len(body) // 2])
    elif number % 3 == 1:
        with exchange(port, warmup, {}):
            pass
    else:
        with exchange(port, warmup, {"Accept": "text/event-stream"}) as stream:
            stream.sock.recv(1)
    return ""


def ask_hostilely(catalogue: Catalogue, port: int, number: int) -> str:
    """The next request of the catalogue; its answer may not be a fault of the server."""
    return send(port, catalogue.request(number)).problem


def poll(port: int, number: int) -> str:
    path = POLLS[number % len(POLLS)]
    status = client.get(port, path, timeout=PATIENCE_SECONDS).status
    return "" if status == 200 else f"{path}: status {status}"


@contextmanager
def exchange(port: int, warmup: WarmupRequest, headers: Mapping[str, str]) -> Iterator[http.client.HTTPConnection]:
    """The connection on which the request was sent."""
    body, kind = warmup.request.encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", warmup.request.path, body, {"Content-Type": kind, **headers})
        yield connection
    finally:
        connection.close()


def describe_status(expected: int, status: int) -> str:
    if status == 503:
        return BUSY
    return "" if status == expected else f"status {status} instead of {expected}"


def describe_answer(warmup: WarmupRequest, body: bytes) -> str:
    if measure_distance(warmup.answer, body, warmup.media_type) <= warmup.tolerance:
        return ""
    return "a wrong answer"


def read_metrics(port: int) -> dict[str, float]:
    """The samples of /metrics, by name and labels."""
    lines = client.get(port, "/metrics", timeout=PATIENCE_SECONDS).body.decode().splitlines()
    parts = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in parts}
