"""What a gate concludes from starts, and in which order it starts, with containers that are servers on loopback."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import pytest

from prebake.errors import AnswerDiffers, EngineError
from prebake.io.log import silent
from prebake.measure.client import Request
from prebake.measure.gate.errors import BaselineUnusable
from prebake.measure.gate.gate import GateResult, GateSide, StartPair, run_gate
from prebake.measure.gate.limits import Limits, Verdict
from prebake.measure.gate.timed_start import Phase, TimedStart, describe_start
from prebake.measure.warmup_request import WarmupRequest
from tests.support.http_server import QuietHandler, serving_http

WARMUPS = {"toy": WarmupRequest(Request({"prompt": "x"}), b"yes", "text/plain", 0.0)}


class Server:
    """A container that answers at once."""

    def __init__(self, port: int, pulled: float) -> None:
        self.port, self.requested, self.pulled = port, time.perf_counter(), pulled

    def logs(self) -> str:
        return ""

    def exit_code(self) -> int | None:
        return None


class Launcher:
    """Starts a server for each image but ``missing``. ``answers``: those of images that do not answer as they should.
    ``startup``: what a server tells of its start, if it is not what it should be."""

    def __init__(self, pulled: float = 0.0, startup: bytes | None = None, missing: str = "", **answers: bytes) -> None:
        self.started: list[str] = []
        self._missing = missing
        self._startup = startup
        self._pulled = pulled
        self._answers = answers

    @contextmanager
    def start(self, image: str) -> Iterator[Server]:
        self.started.append(image)
        if image == self._missing:
            raise EngineError("the Engine has no such image", next_action="build it")
        answer, told = self._answers.get(image, b"yes"), self._startup

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                moment = datetime.now(UTC).isoformat(timespec="milliseconds")
                startup = {
                    "process_started": moment,
                    "ready_seconds": 0.0,
                    "phases": [{"name": "import numpy", "start": 0.0, "seconds": 0.01}],
                }
                self._send(json.dumps(startup).encode() if told is None else told)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._send(answer)

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        with serving_http(Handler) as port:
            yield Server(port, self._pulled)

    def open_files(self, image: str) -> AbstractContextManager[Callable[[str], bytes]]:
        raise EngineError(f"no files of {image}", next_action="none")

    def run(self, image: str, command: Sequence[str]) -> str:
        raise EngineError(f"{command} in {image}", next_action="none")

    def time_program(self, image: str, command: Sequence[str]) -> float:
        raise EngineError(f"{command} in {image}", next_action="none")


def side(image: str) -> GateSide:
    return GateSide(image, WARMUPS, 1000)


def start(ttfi: float, **phases: float) -> TimedStart:
    found = [Phase(name, "model", number, seconds) for number, (name, seconds) in enumerate(phases.items())]
    return TimedStart(ttfi, 0.1, ttfi - 0.1, found)


def result(ratios: Sequence[float], limits: Limits, size: int = 0) -> GateResult:
    return GateResult(limits, [StartPair("image", start(ratio), start(1.0)) for ratio in ratios], size, 40)


def test_pairs_in_random_order_until_the_most_that_is_allowed() -> None:
    launcher = Launcher()
    before: list[int] = []
    found = run_gate(
        launcher,
        side("new"),
        side("old"),
        Limits(max_regression=0.0),
        log=silent,
        max_pairs=6,  # too few for a verdict
        before=lambda: before.append(1),
        chance=random.Random(1),
    )
    assert launcher.started[:2] == ["new", "old"]  # not counted: they warm the page cache
    pairs = [tuple(launcher.started[at : at + 2]) for at in range(2, 14, 2)]
    assert len(found.pairs) == len(pairs) == 6
    assert set(pairs) == {("new", "old"), ("old", "new")}
    assert [pair.first == "image" for pair in found.pairs] == [first == "new" for first, _ in pairs]
    assert len(before) == 12
    assert found.verdict is Verdict.UNCLEAR
    assert all(pair.image.ttfi > 0 and pair.compared.ttfi > 0 for pair in found.pairs)


def test_it_stops_as_soon_as_the_verdict_is_clear() -> None:
    launcher = Launcher()
    found = run_gate(launcher, side("new"), side("old"), Limits(max_regression=1000.0), log=silent)
    assert len(found.pairs) == 8
    assert found.verdict is Verdict.PASS


def test_without_a_baseline_the_image_alone_is_started() -> None:
    launcher = Launcher()
    found = run_gate(launcher, side("new"), None, Limits(max_ttfi=1e-9, max_image_size=10), log=silent, warm=False)
    assert launcher.started == ["new"] * 8
    assert {check.name: check.verdict for check in found.checks} == {"ttfi": Verdict.FAIL, "image size": Verdict.FAIL}
    document = found.document()
    assert (document["ratio"], document["baseline_ttfi_seconds"], document["phases"]) == (None, None, [])
    assert document["starts"][0]["baseline"] is None


def test_a_size_alone_needs_one_start() -> None:
    launcher = Launcher()
    run_gate(launcher, side("new"), None, Limits(max_image_size=10), log=silent, warm=False)
    assert launcher.started == ["new"]


def test_a_baseline_that_answers_wrongly_is_unusable_and_an_image_differs() -> None:
    with pytest.raises(BaselineUnusable, match="baseline does not start"):
        run_gate(Launcher(old=b"no"), side("new"), side("old"), Limits(max_regression=0.1), log=silent)
    with pytest.raises(BaselineUnusable, match="the Engine has no such image"):
        run_gate(Launcher(missing="old"), side("new"), side("old"), Limits(max_regression=0.1), log=silent)
    with pytest.raises(AnswerDiffers):
        run_gate(Launcher(new=b"no"), side("new"), side("old"), Limits(max_regression=0.1), log=silent)


def test_a_pull_comes_before_the_container() -> None:
    launcher = Launcher(pulled=0.25)
    found = run_gate(launcher, side("new"), None, Limits(max_image_size=10), log=silent, warm=False)
    names = [phase.name for phase in found.pairs[0].image.phases]
    assert names == ["pull", "container start", "import numpy", "first answer"]
    assert found.pairs[0].image.phases[0].seconds == 0.25


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.05] * 8, Verdict.PASS),
        ([1.05] * 7, Verdict.UNCLEAR),
        ([1.2] * 8, Verdict.FAIL),
        ([1.2, 1.0] * 20, Verdict.UNCLEAR),
        ([1.2] * 30 + [1.0] * 10, Verdict.FAIL),
    ],
)
def test_the_paired_ratio_is_judged_against_the_limit(ratios: list[float], verdict: Verdict) -> None:
    assert result(ratios, Limits(max_regression=0.1)).verdict is verdict


def test_one_limit_that_is_exceeded_fails_all() -> None:
    found = result([1.0] * 8, Limits(max_regression=0.1, max_ttfi=0.5, max_image_size=9), size=10)
    assert {check.name: check.verdict.value for check in found.checks} == {
        "regression": "pass",
        "ttfi": "fail",
        "image size": "fail",
    }
    assert found.verdict is Verdict.FAIL


def test_a_phase_that_takes_longer_is_named_and_a_drift_of_both_is_not() -> None:
    chance = random.Random(3)
    pairs = []
    for _ in range(12):
        drift = chance.uniform(0.8, 1.2)
        ours = start(1.0, imports=0.3 * drift + 0.1, warmup=0.2 * drift, appeared=0.05)
        pairs.append(StartPair("image", ours, start(0.9, imports=0.3 * drift, warmup=0.2 * drift)))
    found = {phase.name: phase for phase in GateResult(Limits(), pairs, 0, 40).phases}
    assert {name for name, phase in found.items() if phase.moved} == {"imports", "appeared"}
    assert found["imports"].difference == pytest.approx(0.1)
    assert list(found["imports"].interval) == pytest.approx([0.1, 0.1])
    assert (found["appeared"].seconds, found["appeared"].baseline, found["appeared"].difference) == (0.05, None, 0.05)


def test_a_baseline_that_does_not_tell_its_phases_makes_none_of_the_image_new() -> None:
    """Such as one of a Prebake whose ``GET /startup`` had no ``process_started``."""
    old = describe_start(
        1.0, 0.5, {"ready_seconds": 0.4, "phases": [{"name": "imports", "start": 0, "seconds": 0.3}]}, 0.0
    )
    found = GateResult(Limits(), [StartPair("image", start(1.0, imports=0.3), old)] * 8, 0, 40)
    assert found.phases == []
    assert found.document()["baseline_ready_seconds"] is None


def test_the_spread_tells_how_noisy_the_machine_is() -> None:
    assert result([1.0] * 8, Limits()).spread == 0.0
    assert result([0.9, 1.0, 1.1] * 8, Limits()).spread == pytest.approx(0.1)
    assert result([1.0] * 3, Limits()).spread is None


def test_phases_count_from_the_request() -> None:
    moment = datetime(2026, 12, 2, tzinfo=UTC)
    startup = {
        "process_started": "2026-12-02T00:00:00.500Z",
        "ready_seconds": 1.0,
        "phases": [{"name": "launch", "start": 0.0, "seconds": 0.1}, {"name": "still runs", "start": 0.2}],
        "models": {"a": {"phases": [{"name": "open unet", "start": 0.3, "seconds": 0.2}]}},
    }
    found = describe_start(1.75, 0.7, startup, moment.timestamp())
    assert found.ready == pytest.approx(1.5)
    assert [(phase.name, phase.process, round(phase.start, 6), round(phase.seconds, 6)) for phase in found.phases] == [
        ("container start", "engine", 0.0, 0.5),
        ("launch", "server", 0.5, 0.1),
        ("a: open unet", "a", 0.8, 0.2),
        ("first answer", "model", 1.5, 0.25),
    ]


def test_an_image_that_does_not_tell_its_start_has_no_phases() -> None:
    found = describe_start(1.0, 0.5, {}, 0.0)
    assert (found.ready, list(found.phases)) == (None, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"ready_seconds": float("nan")},
        {"ready_seconds": "1"},
        {"phases": {"a": 1}},
        {"phases": [{}]},
        {"phases": [{"name": 7, "start": 0.0, "seconds": 0.1}]},
        {"phases": [{"name": "a", "start": 0.0, "seconds": float("inf")}]},
        {"models": [1]},
        {"models": {"a": {}}},
    ],
)
def test_a_start_that_cannot_be_read_has_no_phases(wrong: dict[str, object]) -> None:
    startup = {"process_started": "2026-12-02T00:00:00.500Z", "ready_seconds": 1.0, "phases": [], **wrong}
    found = describe_start(1.0, 0.5, startup, 0.0)
    assert (found.ready, list(found.phases)) == (None, [])


@pytest.mark.parametrize("startup", [b"", b"{", b"[" * 100_000, b"[1]", b'"x"', b'{"phases": 1}'])
def test_an_image_whose_report_is_no_document_is_timed(startup: bytes) -> None:
    found = run_gate(Launcher(startup=startup), side("new"), None, Limits(max_ttfi=60.0), log=silent, max_pairs=3)
    assert [list(pair.image.phases) for pair in found.pairs] == [[], [], []]


def test_the_document_is_json() -> None:
    document = result([1.0] * 3, Limits(max_regression=0.1)).document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["ratio_interval_95"] == [None, None]
