"""The benchmark's own arithmetic and order, with containers that are servers on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from prebake.errors import StartFailed
from prebake.measure.bench.bench import BenchResult, format_table
from prebake.measure.bench.limits import compare
from prebake.measure.bench.steady_state import SteadyTimings, time_steady
from prebake.measure.client import Request
from prebake.measure.floor import Floor
from prebake.measure.gate.errors import LimitExceeded
from prebake.measure.start import Start
from prebake.measure.warmup_request import WarmupRequest
from prebake.workflow.benchmark.naive import require_bounds
from tests.support.http_server import QuietHandler, serving_http

WARMUP = WarmupRequest(Request({"prompt": "x"}), b"", "text/plain", 0.0)


class Server:
    """A container that runs already. ``diary`` is told its name with each request."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port, self.requested, self.pulled = name, port, time.perf_counter(), 0.0

    def logs(self) -> str:
        return f"{self.name} said this"

    def exit_code(self) -> int | None:
        return None


@contextmanager
def served(name: str, diary: list[str], status: int = 200) -> Iterator[Server]:
    class Handler(QuietHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            diary.append(name)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving_http(Handler) as port:
        yield Server(name, port)


def test_both_are_asked_in_turn_and_the_first_of_each_is_not_counted() -> None:
    diary: list[str] = []
    with served("ours", diary) as ours, served("naive", diary) as naive:
        steady = time_steady(ours, naive, WARMUP, requests=3)
    assert diary == ["ours", "naive"] * 4
    assert len(steady.ours) == len(steady.naive) == 3
    assert min(*steady.ours, *steady.naive) > 0


def test_a_later_request_without_an_answer_ends_the_benchmark() -> None:
    with ExitStack() as held:
        ours = held.enter_context(served("ours", []))
        naive = held.enter_context(served("naive", [], status=500))
        with pytest.raises(StartFailed, match=r"(?s)500.*naive said this"):
            time_steady(ours, naive, WARMUP)


@pytest.mark.parametrize(
    ("naive", "ours", "state"),
    [
        ([10.0, 11.0, 12.0], [2.0, 2.0, 2.0], "met"),
        ([3.0] * 3, [1.0] * 3, "missed"),
        ([4.0, 6.0] * 3, [1.0] * 6, "open"),
    ],
)
def test_a_bound_is_met_or_missed_where_the_whole_interval_says_so(
    naive: list[float], ours: list[float], state: str
) -> None:
    bound = compare("first answer", 5.0, naive, ours)
    assert bound.state == state
    assert bound.interval[0] <= bound.ratio <= bound.interval[1]
    assert f"at least 5: {state}" in bound.line()


def bench(naive: float, later: float) -> BenchResult:
    """Of an image that answers after 1 s, and then in 0.1 s."""
    ours, theirs = Start(0.1, None, 1.0, 0.0, 0.0), Start(0.1, None, naive, 0.0, 0.0)
    floor, steady = Floor(0.2, 1000, 1e9, 0.1), SteadyTimings([0.1] * 6, [later] * 6)
    return BenchResult(
        "a", "a-naive", "warm", [ours] * 2, [theirs] * 2, [0.9] * 2, [{"phases": []}] * 2, floor, steady, (0.5, 2.25)
    )


def test_the_document_and_the_table_tell_first_and_later_answers() -> None:
    found = bench(6.0, 0.25)
    document = found.document()
    assert (document["ratio"], document["steady_ratio"]) == (6.0, 2.5)
    assert (document["steady_seconds"], document["naive_steady_seconds"]) == (0.1, 0.25)
    assert [bound["state"] for bound in document["bounds"]] == ["met", "met"]
    require_bounds(document)
    assert document["load_average"] == {"before": 0.5, "after": 2.25}
    lines = format_table(found).splitlines()
    assert "load 0.5 before and 2.2 after" in lines[-1]
    assert any(line.split() == ["naive", "steady", *["0.250"] * 4] for line in lines)
    assert any(line.startswith("steady state: naive / Prebake 2.50") and line.endswith("met") for line in lines)


@pytest.mark.parametrize(("naive", "later", "missed"), [(4.0, 0.25, "first answer"), (6.0, 0.09, "steady state")])
def test_a_check_fails_where_a_bound_is_missed(naive: float, later: float, missed: str) -> None:
    with pytest.raises(LimitExceeded, match=f"{missed}: "):
        require_bounds(bench(naive, later).document())
