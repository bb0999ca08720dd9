"""A few hundred hostile requests, and what such a run has to notice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.containers import running
from prebake.io.log import silent
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.malformed import MEMORY_BYTES, Plan, attack
from tests.long.resources import ContainerTarget
from tests.long.section import Outcome
from tests.support.commands.projects import Built
from tests.support.hostile.catalogue import KINDS, Catalogue
from tests.support.hostile.message import HostileRequest, Target, encode
from tests.support.hostile.sender import send
from tests.support.http_server import QuietHandler, serving_http

# Tests assert no durations: only a server that does not answer at all would miss this bound.
PLAN = Plan(requests=300, clients=4, slow_connections=40, derived=120, liveness=20)


def run_attack(engine: Connection, image: str, plan: Plan = PLAN) -> Outcome:
    launcher = EngineLauncher(engine, environment={"PREBAKE_ACCESS_LOG": "all"})
    warmup = read_warmup(launcher, image)
    with running(engine, replace(launcher.container(image), memory=MEMORY_BYTES)) as container:
        return attack(ContainerTarget(container), container.logs, warmup, plan, silent)


def test_a_sound_container_withstands_them(engine: Connection, minilm: Built) -> None:
    outcome = run_attack(engine, minilm.tag)
    assert outcome.findings == []
    text = "\n".join(outcome.lines)
    for kind in ("derived from the OpenAPI document", "binary tensors", "JSON bomb", "two lengths"):
        assert f"| {kind} | " in text
    assert "300 requests of seed 1" in text


def test_a_model_that_fails_is_noticed(engine: Connection, leaky: str) -> None:
    found = "\n".join(run_attack(engine, leaky, replace(PLAN, requests=200)).findings)
    for words in ("status 500, ", "level error: generate failed", 'status="500"'):
        assert words in found


TARGET = Target("model", ["text"], {"model": [{"name": "text", "datatype": "BYTES", "shape": [1]}]})


def test_a_seed_and_a_number_give_one_request() -> None:
    first, second, other = (Catalogue(seed, TARGET) for seed in (1, 1, 2))
    assert [first.request(n) for n in range(200)] == [second.request(n) for n in range(200)]
    assert [first.request(n) for n in range(200)] != [other.request(n) for n in range(200)]
    assert len({first.request(n).kind for n in range(1000)}) == len(KINDS)


class Faulty(QuietHandler):
    """Answers as the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, kind, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


EVENTS = "text/event-stream"
ERROR = b'{"error": {"message": "no"}}'
ANSWERS = {
    "/failed": (500, "application/json", ERROR),
    "/gateway": (502, "application/json", ERROR),
    "/busy": (503, "application/json", ERROR),
    "/text": (400, "text/plain", b"Bad Request"),
    "/cut": (200, EVENTS, b'event: queue\ndata: {"place": 1}\n\n'),
    "/events": (200, EVENTS, b'event: error\ndata: {"status": 500}\n\n'),
    "/late": (200, EVENTS, b'event: error\ndata: {"status": 504}\n\n'),
    "/answer": (200, EVENTS, b"event: answer\ndata: {}\n\n"),
    "/refused": (422, "application/json", ERROR),
}


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/failed", "status 500"),
        ("/gateway", "status 502"),
        ("/busy", "status 503 without Retry-After"),
        ("/text", "status 400 whose body is no JSON with an error"),
        ("/cut", "an event stream that ends with 'event: queue'"),
        ("/events", "an event stream with status 500"),
        ("/late", ""),
        ("/answer", ""),
        ("/refused", ""),
    ],
)
def test_each_answer_is_judged(path: str, problem: str) -> None:
    with serving_http(Faulty) as port:
        assert send(port, HostileRequest("any", (encode("GET", path),), method="GET")).problem == problem
