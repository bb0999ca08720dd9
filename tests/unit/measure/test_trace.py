"""A start as a trace: what is in it, that it is a valid one, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prebake.measure.trace.start_documents import RecordedStart, StartUnreadable, read_starts
from prebake.measure.trace.trace_events import BESIDE, CRITICAL, format_trace, make_trace
from prebake.measure.trace.tracks import Span, assign_threads
from tests.support.measure.gate_documents import make_document, make_document_without_baseline

STARTUP: dict[str, Any] = {
    "state": "ready",
    "reason": "",
    "ready_seconds": 0.5,
    "phases": [
        {"name": "launch", "start": 0.0, "seconds": 0.1},
        {"name": "live", "start": 0.0, "seconds": 0.22},
        {"name": "bind", "start": 0.1, "seconds": 0.0011},
        {"name": "manifest", "start": 0.11, "seconds": 0.005},
        {"name": "import numpy", "start": 0.12, "seconds": 0.08},
        {"name": "verify", "start": 0.2, "seconds": 0.06},
        {"name": "import model", "start": 0.2, "seconds": 0.1},
        {"name": "open net", "start": 0.21, "seconds": 0.08},
        {"name": "warm-up", "start": 0.3, "seconds": 0.2},
        {"name": "verify what is not used", "start": 0.45, "seconds": None},
        {"name": "bucket net: 8", "start": 0.7, "seconds": 0.1},
    ],
    "opened": {"net": "cpu"},
}
REPORT: dict[str, Any] = {
    "schema": 3,
    "image": "prebake/toy:cpu-small",
    "digest": f"sha256:{'0' * 64}",
    "size": 123,
    "layers": [],
    "floor": {"weight_bytes": 456},
    "start": {"ready_seconds": 0.6, "container_seconds": 0.1},
    "phases": STARTUP["phases"],
}


def trace(document: object) -> dict[str, Any]:
    """The trace as a program reads it, of a document as it lies in a file."""
    starts = read_starts(json.loads(json.dumps(document)), "start.json")
    found: dict[str, Any] = json.loads(format_trace(make_trace(starts, "start.json")))
    require_valid(found)
    return found


def require_valid(found: Mapping[str, Any]) -> None:
    """The rules of the Trace Event Format that Perfetto depends on: complete events of one thread nest, every event's process
    and thread have names."""
    names = {(event["pid"], event["tid"]) for event in found["traceEvents"] if event["name"] == "thread_name"}
    processes = [event["pid"] for event in found["traceEvents"] if event["name"] == "process_name"]
    assert len(set(processes)) == len(processes)
    threads = defaultdict(list)
    for event in found["traceEvents"]:
        assert event["ph"] in ("M", "X", "i")
        if event["ph"] != "M":
            assert (event["pid"], event["tid"]) in names
            assert event["pid"] in processes
            assert isinstance(event["ts"], int)
            assert event["ts"] >= 0
        if event["ph"] == "X":
            assert isinstance(event["dur"], int)
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in threads.values():
        for (_, end), (begin, _) in itertools.pairwise(sorted(spans)):
            assert end <= begin


def lanes(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """The phases by the name of their process."""
    names = {event["pid"]: event["args"]["name"] for event in found["traceEvents"] if event["name"] == "process_name"}
    phases: dict[str, list[str]] = {name: [] for name in names.values()}
    for event in found["traceEvents"]:
        if event["ph"] == "X":
            phases[names[event["pid"]]].append(event["name"])
    return phases


def event(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    (one,) = (event for event in found["traceEvents"] if event["name"] == name)
    return dict(one)


def critical(found: Mapping[str, Any]) -> list[str]:
    return [event["name"] for event in found["traceEvents"] if event.get("cat") == CRITICAL]


def test_a_container_s_record_has_a_process_for_each_of_its_own_and_no_engine() -> None:
    found = trace(STARTUP)
    assert list(lanes(found)) == ["server process", "model process"]
    assert lanes(found)["server process"] == ["launch", "bind"]
    assert critical(found) == ["launch", "bind", "manifest", "import numpy", "import model", "warm-up"]
    assert (event(found, "verify")["ts"], event(found, "verify")["dur"]) == (200_000, 60_000)
    assert event(found, "verify")["cat"] == BESIDE
    assert event(found, "open net")["args"]["opened"] == "cpu"
    assert {name: event(found, name)["ts"] for name in ("live", "ready")} == {"live": 220_000, "ready": 500_000}
    assert all(each["ph"] == "i" for each in (event(found, "live"), event(found, "ready")))


def test_phases_after_ready_and_those_that_have_not_ended_are_in_the_trace() -> None:
    found = trace(STARTUP)
    assert (event(found, "bucket net: 8")["ts"], event(found, "bucket net: 8")["dur"]) == (700_000, 100_000)
    open_end = event(found, "verify what is not used")
    assert open_end["ts"] + open_end["dur"] == 800_000  # the last moment that is known
    assert open_end["args"]["ended"] is False
    assert "ended" not in event(found, "verify")["args"]


def test_a_container_that_is_not_ready_has_the_phases_so_far() -> None:
    found = trace({**STARTUP, "state": "starting", "ready_seconds": None, "phases": STARTUP["phases"][:5]})
    assert lanes(found)["model process"] == ["manifest", "import numpy"]
    assert not any(each["name"] == "ready" for each in found["traceEvents"])
    assert trace({"state": "starting", "ready_seconds": None, "phases": []})["traceEvents"] == []


def test_a_report_begins_with_the_request_for_the_container() -> None:
    found = trace(REPORT)
    assert list(lanes(found)) == ["Engine", "server process", "model process"]
    start = event(found, "container start")
    assert (start["ts"], start["dur"], start["cat"]) == (0, 100_000, CRITICAL)
    assert (
        start["args"] | {"image": "prebake/toy:cpu-small", "digest": f"sha256:{'0' * 64}", "size": 123} == start["args"]
    )
    assert event(found, "launch")["ts"] == 100_000
    assert event(found, "verify")["args"]["weight_bytes"] == 456
    assert event(found, "ready")["ts"] == 600_000
    assert event(found, "live")["ts"] == 320_000


def test_several_models_have_a_process_each() -> None:
    models = {"left": {"phases": [{"name": "manifest", "start": 0.1, "seconds": 0.1}], "opened": {"net": "cuda"}}}
    models["right"] = {"phases": [{"name": "open net", "start": 0.1, "seconds": 0.3}], "opened": {"net": "cpu"}}
    found = trace({"state": "ready", "ready_seconds": 0.4, "phases": STARTUP["phases"][:1], "models": models})
    assert lanes(found) == {
        "server process": ["launch"],
        "model process left": ["manifest"],
        "model process right": ["open net"],
    }
    assert event(found, "open net")["args"]["opened"] == "cpu"
    assert critical(found) == ["launch", "open net"]


@pytest.mark.parametrize("pairs", [1, 8, 9])
def test_a_gate_has_the_median_start_of_both_images(pairs: int) -> None:
    document = make_document(pairs=pairs)
    found = trace(document)
    assert list(lanes(found)) == [
        f"{title}: {name}"
        for title in ("new image", "baseline")
        for name in ("Engine", "server process", "model process")
    ]
    answers = [each["ts"] for each in found["traceEvents"] if each["name"] == "first answer"]
    times = [sorted(start[name]["ttfi_seconds"] for start in document["starts"]) for name in ("image", "baseline")]
    assert answers == [round(each[(pairs - 1) // 2] * 1e6) for each in times]
    imports = [each for each in found["traceEvents"] if each["name"] == "import images.foley.model"]
    assert imports[0]["dur"] - imports[1]["dur"] > 280_000
    assert [each["cat"] for each in imports] == [CRITICAL, CRITICAL]
    (start, _) = (each for each in found["traceEvents"] if each["name"] == "container start")
    assert start["args"]["digest"] == document["image"]["digest"]
    assert start["args"]["layer_bytes"] == document["image"]["layer_bytes"]


def test_a_gate_without_a_baseline_has_one_start() -> None:
    assert list(lanes(trace(make_document_without_baseline()))) == [
        f"new image: {name}" for name in ("Engine", "server process", "model process")
    ]


def test_further_keys_of_a_phase_are_arguments_and_a_named_process_is_a_model_s() -> None:
    document = copy.deepcopy(make_document(pairs=1))
    phases = document["starts"][0]["image"]["phases"]
    phases[-1] |= {"process": "left", "bytes": 77}
    found = trace(document)
    assert lanes(found)["new image: model process left"] == ["warm-up"]
    warmups = [each for each in found["traceEvents"] if each["name"] == "warm-up"]
    assert warmups[0]["args"]["bytes"] == 77
    assert "bytes" not in warmups[1]["args"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], ["is a list, no object", "`state` and `phases`", "`start` and `phases`", "`kind` and `starts`"]),
        ({}, ["has no start. The keys that were looked for", "`kind` and `starts`"]),
        ({"kind": "naive", "starts": []}, ["has no start"]),
        ({"layers": []}, ["a build that timed no start", "`start` and `phases`"]),
        ({"state": "ready", "phases": 3}, ["phases: should be a list"]),
        ({"state": 3, "phases": [{"name": 3}]}, ["state: should be a string", "phases[0].start: is missing"]),
        ({**STARTUP, "ready_seconds": -1}, ["ready_seconds: should be a number, 0 or more"]),
        ({**STARTUP, "models": {"a": {}}}, ["models.a.phases: is missing"]),
        ({**REPORT, "start": {}}, ["start.ready_seconds: is missing", "start.container_seconds: is missing"]),
        ({**make_document(), "starts": []}, ["starts: should be a list with something in it"]),
        ({"kind": "gate"}, ["image: is missing", "baseline: is missing", "starts: is missing"]),
    ],
)
def test_what_is_no_start_is_refused_with_every_problem(document: object, said: list[str]) -> None:
    with pytest.raises(StartUnreadable) as caught:
        read_starts(document, "start.json")
    assert caught.value.message.startswith("start.json ")
    assert [each for each in said if each not in caught.value.message] == []


SPANS = st.lists(
    st.builds(
        lambda begin, length, critical: Span("x", "x", begin, begin + length, critical),
        st.integers(0, 40),
        st.integers(0, 20),
        st.booleans(),
    ),
    max_size=25,
)


@given(SPANS)
def test_spans_of_one_thread_never_overlap_and_threads_are_not_more_than_needed(spans: list[Span]) -> None:
    threads = assign_threads(spans)
    assert set(threads) == set(range(len(set(threads))))  # no thread is empty
    for number in set(threads):
        own = sorted((span.begin, span.end) for span, thread in zip(spans, threads, strict=True) if thread == number)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(own))
    for span, number in zip(spans, threads, strict=True):  # a span leaves a thread only for one that it overlaps
        for earlier in range(number):
            others = [spans[index] for index, thread in enumerate(threads) if thread == earlier]
            assert any(span.begin < other.end and other.begin < span.end for other in others)


NAMES = st.one_of(
    st.sampled_from(["launch", "bind", "live", "verify", "warm-up", "left: warm-up"]), st.text(max_size=8)
)
PHASES = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "start": st.floats(0, 10), "seconds": st.one_of(st.none(), st.floats(0, 10))},
        optional={"process": st.sampled_from(["engine", "server", "model", "left", "right"])},
    ),
    max_size=12,
)


@given(PHASES, st.floats(0, 2), st.one_of(st.none(), st.floats(0, 20)))
def test_the_trace_of_any_phases_is_valid(phases: list[dict[str, Any]], container: float, ready: float | None) -> None:
    start = RecordedStart(phases, container=container, ready=ready, models=("left",))
    found = json.loads(format_trace(make_trace([start, start], "x")))
    require_valid(found)
    complete = [each for each in found["traceEvents"] if each["ph"] == "X"]
    assert len(complete) >= 2 * sum(phase["name"] != "live" for phase in phases)
