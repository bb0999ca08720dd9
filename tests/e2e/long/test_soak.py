"""A soak of seconds, and what it has to notice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.containers import running
from prebake.io.log import silent
from prebake.measure.bench.limits import compare
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher, StartedServer
from tests.long.load import Tally, kinds_of_load, load
from tests.long.resources import ContainerTarget, Resources
from tests.long.section import Outcome
from tests.long.soak import judge, soak
from tests.long.soak_report import MIB, Plan, Rest, Sample, Soaked
from tests.support.commands.projects import Built
from tests.support.hostile.catalogue import Catalogue
from tests.support.hostile.message import HostileRequest, Target, encode
from tests.support.http_server import QuietHandler, serving_http

# Tests assert no durations: only a container ten times slower than a fresh one would miss this bound.
PLAN = Plan(seconds=5, warmup_seconds=2, min_ratio=0.1, compared_requests=5)
KINDS = (
    "valid requests",
    "event streams",
    "invalid requests",
    "clients that leave early",
    "polls of health and metrics",
    "hostile requests",
)


def run_soak(engine: Connection, image: str) -> Outcome:
    launcher = EngineLauncher(engine)
    with running(engine, launcher.container(image)) as container:
        warmup = read_warmup(launcher, image)
        return soak(ContainerTarget(container), lambda: launcher.start(image), warmup, PLAN, silent)


def test_a_sound_container_passes(engine: Connection, minilm: Built) -> None:
    outcome = run_soak(engine, minilm.tag)
    assert outcome.findings == []
    text = "\n".join(outcome.lines)
    for kind in KINDS:
        assert f"| {kind} | " in text
    assert text.count("| load, part ") == 5
    assert "| at rest, after |" in text


def test_leaks_wrong_answers_and_failures_are_noticed(engine: Connection, leaky: str) -> None:
    found = "\n".join(run_soak(engine, leaky).findings)
    for words in (
        "valid requests: a wrong answer",
        "valid requests: status 500 instead of 200",
        "event streams: a wrong answer",
        "event streams: a stream ended with 'event: error'",
        "anonymous memory at rest grew by",
        "files at rest",
        "threads at rest",
        'status="500"',
    ):
        assert words in found


class Wrong(QuietHandler):
    """Answers every request with 418."""

    def do_GET(self) -> None:
        self.send_response(418)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_DELETE = do_GET


def test_each_kind_of_client_notices_an_unexpected_status(engine: Connection, minilm: Built) -> None:
    health = HostileRequest("any", (encode("GET", "/health"),), method="GET")
    catalogue = Catalogue(
        1, Target("minilm", ["texts"], {"minilm": [{"name": "texts", "datatype": "BYTES", "shape": [1]}]}), [health]
    )
    kinds, tally = kinds_of_load(read_warmup(EngineLauncher(engine), minilm.tag), catalogue), Tally()
    with serving_http(Wrong) as port, load(port, kinds, tally):
        while len(tally.requests) < len(kinds):
            pass
    assert {kind for kind, problem in tally.problems if "418" in problem} == {*KINDS} - {"clients that leave early"}


class Dying(ContainerTarget):
    """Killed as soon as it was looked into."""

    def sample(self) -> Resources:
        found = super().sample()
        self._running.kill()
        return found


def test_a_container_that_ends_under_load_is_noticed(engine: Connection, minilm: Built) -> None:
    launcher = EngineLauncher(engine)
    with running(engine, launcher.container(minilm.tag)) as container:
        target, warmup = Dying(container), read_warmup(launcher, minilm.tag)
        findings = soak(target, lambda: launcher.start(minilm.tag), warmup, PLAN, silent).findings
    assert any("cannot be looked into" in finding for finding in findings)


def test_a_container_that_ends_after_the_load_is_noticed(engine: Connection, minilm: Built) -> None:
    launcher = EngineLauncher(engine)
    with running(engine, launcher.container(minilm.tag)) as container:

        def kill_and_start_another() -> AbstractContextManager[StartedServer]:
            container.kill()
            return launcher.start(minilm.tag)

        target, warmup = ContainerTarget(container), read_warmup(launcher, minilm.tag)
        findings = soak(target, kill_and_start_another, warmup, replace(PLAN, seconds=1), silent).findings
    assert any("did not answer a request to /generate" in finding for finding in findings), findings


SOUND = Resources(pss=120 * MIB, anonymous=100 * MIB, files=12, threads=8, processes=2)
SECONDS = [0.01, 0.011, 0.012, 0.01, 0.011]


def judged(
    after: Resources = SOUND,
    in_flight: float = 0,
    loaded: float = 1,
    exit_code: int = 0,
    under_load: Callable[[int], Resources] = lambda _: SOUND,
) -> list[str]:
    """``under_load``: the resources of each of twenty samples."""
    tally = Tally()
    tally.add("valid requests", 0.01, "")
    plan = Plan(seconds=5, warmup_seconds=1)
    bound = compare("later answer", plan.min_ratio, SECONDS, [loaded * each for each in SECONDS], "fresh")
    samples = [Sample(number, under_load(number)) for number in range(20)]
    return judge(Soaked(plan, 0, tally, Rest(SOUND, 0), samples, Rest(after, in_flight), [], bound, exit_code))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (
            "memory at rest grew by 8.1 MiB; 8 MiB are allowed",
            lambda: judged(replace(SOUND, anonymous=int(108.1 * MIB))),
        ),
        ("files at rest: 12 before the load, 13 after it", lambda: judged(replace(SOUND, files=13))),
        ("threads at rest: 8 before the load, 9 after it", lambda: judged(replace(SOUND, threads=9))),
        ("processes at rest: 2 before the load, 3 after it", lambda: judged(replace(SOUND, processes=3))),
        ("still counts 1 requests as in flight", lambda: judged(in_flight=1)),
        ("slower than a fresh container", lambda: judged(loaded=1.5)),
        ("exit code 137 after SIGTERM", lambda: judged(exit_code=137)),
        (
            "anonymous under load: the line through the second half rises by 9,437,184; 8,388,608 are allowed",
            lambda: judged(under_load=lambda at: replace(SOUND, anonymous=at * MIB)),
        ),
        ("files under load: the line", lambda: judged(under_load=lambda at: replace(SOUND, files=at))),
        ("threads under load: the line", lambda: judged(under_load=lambda at: replace(SOUND, threads=at))),
    ],
)
def test_each_bound_can_be_missed(words: str, found: object) -> None:
    assert callable(found)
    (finding,) = found()
    assert words in finding


def test_a_container_within_its_bounds_has_no_finding() -> None:
    assert judged(replace(SOUND, pss=140 * MIB, anonymous=107 * MIB, files=11), loaded=1.05) == []
