"""The phases of a start on tracks: by process, and within a process on so many threads that none has two phases at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prebake.measure.report.waterfall import CONTAINER_START, ENGINE, LIVE, MODEL, SERVER, lay_out, place_phase
from prebake.measure.trace.start_documents import RecordedStart

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Span:
    """A phase, in whole microseconds since the request. ``key`` is its name, of one of several models with the model's name.
    ``ended`` is false if it still ran when the document was written; then it ends where the record ends."""

    name: str
    key: str
    begin: int
    end: int
    critical: bool = False
    ended: bool = True
    more: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Process:
    """A process of the start with its phases, in the order in which they began."""

    name: str
    spans: tuple[Span, ...]


def list_processes(start: RecordedStart) -> list[Process]:
    """The Engine, the server process, and the model processes, if they have phases."""
    last = _find_end(start)
    ready = last if start.ready is None else start.ready
    waterfall = lay_out(start.phases, ready, start.container, start.models)
    critical = {(lane.name, bar.name, bar.begin) for lane in waterfall.lanes for bar in lane.bars if bar.critical}
    spans: dict[str, list[Span]] = {ENGINE: [], SERVER: []}
    if start.container > 0:
        is_critical = (ENGINE, CONTAINER_START, 0.0) in critical
        spans[ENGINE].append(Span(CONTAINER_START, CONTAINER_START, 0, to_microseconds(start.container), is_critical))
    for phase in start.phases:
        lane, name = place_phase(phase, start.models)
        if (lane, name) == (SERVER, LIVE):
            continue
        begin, seconds = start.container + phase["start"], phase["seconds"]
        end = max(last, begin) if seconds is None else begin + seconds
        more = tuple((key, value) for key, value in phase.items() if key not in ("name", "start", "seconds", "process"))
        found = Span(
            name,
            f"{lane.removeprefix(MODEL).strip()}: {name}" if lane.startswith(f"{MODEL} ") else name,
            to_microseconds(begin),
            to_microseconds(end),
            (lane, name, begin) in critical,
            seconds is not None,
            more,
        )
        spans.setdefault(lane, []).append(found)
    return [
        Process(name, tuple(sorted(found, key=lambda span: (span.begin, span.end))))
        for name, found in spans.items()
        if found
    ]


def find_live(start: RecordedStart) -> float | None:
    """Seconds from the request until the server answered liveness; None if that is not known."""
    if start.live is not None:
        return start.live
    for phase in start.phases:
        if place_phase(phase, start.models) == (SERVER, LIVE) and phase["seconds"] is not None:
            return float(start.container + phase["start"] + phase["seconds"])
    return None


def _find_end(start: RecordedStart) -> float:
    """The last moment that the record knows."""
    ends: list[float] = [start.container + phase["start"] + (phase["seconds"] or 0.0) for phase in start.phases]
    return max([start.container, start.ready or 0.0, *ends])


def to_microseconds(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def assign_threads(spans: Sequence[Span]) -> list[int]:
    """A thread for each span, from 0: spans of one thread do not overlap, as complete events of a trace may overlap only if one
    contains the other. The critical path comes first, so that it lies on as few threads as possible."""
    threads: list[list[Span]] = []
    found = [0] * len(spans)
    for index in sorted(range(len(spans)), key=lambda index: not spans[index].critical):
        span = spans[index]
        number = next((number for number, others in enumerate(threads) if _fits(span, others)), len(threads))
        if number == len(threads):
            threads.append([])
        threads[number].append(span)
        found[index] = number
    return found


def _fits(span: Span, others: Sequence[Span]) -> bool:
    return all(span.end <= other.begin or other.end <= span.begin for other in others)
