"""Starts in the Trace Event Format, which Perfetto (https://ui.perfetto.dev) and chrome://tracing open.

The format: "Trace Event Format", Google, section "JSON Object Format". Times are microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import prebake
from prebake.measure.report.waterfall import CONTAINER_START, SERVER
from prebake.measure.trace.start_documents import RecordedStart
from prebake.measure.trace.tracks import Process, Span, assign_threads, find_live, list_processes, to_microseconds

CRITICAL, BESIDE = "critical path", "at the same time"
"""The categories of phases: those that ready waited for, and the others."""

Event = dict[str, Any]


def make_trace(starts: Sequence[RecordedStart], source: str) -> dict[str, Any]:
    """The trace: every process of every start has a process of its own, and every phase is a complete event. ``source`` is the
    place of the document."""
    events: list[Event] = []
    for start in starts:
        events += _write_start(start, len({event["pid"] for event in events}))
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"source": source, "prebake": prebake.__version__},
    }


def format_trace(trace: Mapping[str, Any]) -> str:
    """JSON with an event in each line."""
    events = ",\n".join(json.dumps(event, ensure_ascii=False) for event in trace["traceEvents"])
    rest = json.dumps({key: value for key, value in trace.items() if key != "traceEvents"}, ensure_ascii=False)
    return f'{{"traceEvents": [\n{events}\n],\n{rest[1:]}\n'


def _write_start(start: RecordedStart, before: int) -> Iterator[Event]:
    """``before`` is the number of processes that are taken."""
    processes = list_processes(start)
    for pid, process in enumerate(processes, before + 1):
        yield from _write_process(start, process, pid)
    pids = {process.name: pid for pid, process in enumerate(processes, before + 1)}
    if not pids:
        return
    last = max(pids.values())
    yield from _write_moment("live", find_live(start), pids.get(SERVER, last))
    yield from _write_moment("ready", start.ready, last)
    yield from _write_moment("first answer", start.ttfi, last)


def _write_process(start: RecordedStart, process: Process, pid: int) -> Iterator[Event]:
    name = f"{start.title}: {process.name}" if start.title else process.name
    yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
    threads = assign_threads(process.spans)
    for thread in range(max(threads) + 1):
        title = "phases" if thread == 0 else f"phases {BESIDE}, {thread}"
        yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": thread + 1, "args": {"name": title}}
        yield {
            "ph": "M",
            "name": "thread_sort_index",
            "pid": pid,
            "tid": thread + 1,
            "args": {"sort_index": thread + 1},
        }
    for span, thread in zip(process.spans, threads, strict=True):
        yield {
            "ph": "X",
            "name": span.name,
            "cat": CRITICAL if span.critical else BESIDE,
            "ts": span.begin,
            "dur": span.end - span.begin,
            "pid": pid,
            "tid": thread + 1,
            "args": _describe_span(start, span),
        }


def _describe_span(start: RecordedStart, span: Span) -> dict[str, Any]:
    """Seconds, and what the document knows about this phase: the image, bytes, the opened candidate."""
    facts: dict[str, Any] = {
        "seconds": (span.end - span.begin) / 1e6,
        "critical path": span.critical,
        **dict(span.more),
    }
    if not span.ended:
        facts["ended"] = False
    if span.name == CONTAINER_START:
        facts |= start.image
    if span.name in ("read ahead", "verify") and start.weight_bytes is not None:
        facts["weight_bytes"] = start.weight_bytes
    if span.name.startswith("open ") and (opened := start.opened.get(span.key.replace("open ", "", 1))):
        facts["opened"] = opened
    return facts


def _write_moment(name: str, seconds: float | None, pid: int) -> Iterator[Event]:
    """An instant event across all threads of a process."""
    if seconds is not None:
        yield {"ph": "i", "s": "p", "name": name, "cat": "moment", "ts": to_microseconds(seconds), "pid": pid, "tid": 1}
