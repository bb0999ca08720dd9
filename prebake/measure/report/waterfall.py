"""The layout of a start: lanes by process, a bar for each phase, and the critical path. Pure; the SVG picture and the terminal
draw it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

ENGINE, SERVER, MODEL = "Engine", "server process", "model process"
PROCESSES = {"engine": ENGINE, "server": SERVER, "model": MODEL}
CONTAINER_START = "container start"
LIVE = "live"
"""The phase that lasts from the start of the server process until it answers liveness. It is drawn as a mark."""

SERVER_PHASES = frozenset(("launch", "bind", "import entrypoints", "import asyncio", "import h11"))
"""The phases of the server process. The model process has every other one; it is forked from the server process."""

UNAWAITED_PHASES = frozenset(("read ahead", "read ahead libraries", "verify what is not used"))
"""The phases of threads that no other thread waits for. They may end just before another phase begins, by chance."""

CLOCK_SECONDS = 2e-4
"""``/startup`` rounds to 0.1 ms: a phase may seem to begin that much before the one that it waited for has ended."""


@dataclass(frozen=True)
class Bar:
    """A phase, in seconds since the request for the container. ``critical``: it is on the critical path. ``ended`` is false if it
    still ran when the start was ready."""

    name: str
    begin: float
    end: float
    critical: bool = False
    ended: bool = True

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Lane:
    """The phases of one process, in the order in which they began."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Waterfall:
    """One start. ``path`` is its critical path, first phase first. Seconds since the request for the container."""

    lanes: tuple[Lane, ...]
    path: tuple[Bar, ...]
    ready: float
    live: float | None = None


def lay_out_report(report: Mapping[str, Any]) -> Waterfall:
    """The start in a report of ``prebake build`` or ``prebake bench``."""
    start = report["start"]
    return lay_out(report["phases"], start["ready_seconds"], start["container_seconds"], report.get("models", {}))


def lay_out(
    phases: Sequence[Mapping[str, Any]], ready: float, container: float, models: Collection[str] = ()
) -> Waterfall:
    """Lanes, bars and critical path. ``phases`` are those of ``/startup``, which count from the start of the container's process:
    ``container`` seconds after the request. Of several ``models``, a phase is named ``MODEL: PHASE``. Phases that began after
    ``ready`` are left out."""
    rows: dict[str, list[Bar]] = {ENGINE: [Bar(CONTAINER_START, 0.0, container)] if container > 0 else [], SERVER: []}
    live = None
    for phase in phases:
        begin = container + phase["start"]
        end = math.inf if phase.get("seconds") is None else begin + phase["seconds"]
        lane, name = place_phase(phase, models)
        if name == LIVE and lane == SERVER:
            live = end if end <= ready else None
        elif begin < ready:
            ended = end <= ready + CLOCK_SECONDS
            rows.setdefault(lane, []).append(Bar(name, begin, min(end, ready), ended=ended))
    lanes = tuple(Lane(name, tuple(sorted(bars, key=_order))) for name, bars in rows.items() if bars)
    path = tuple(reversed(list(_walk_back(lanes))))
    chain = tuple(replace(bar, critical=True) for _, bar in path)
    return Waterfall(tuple(_mark(lane, path) for lane in lanes), chain, ready, live)


def choose_ticks(end: float, most: int) -> tuple[float, ...]:
    """At most ``most`` round numbers from 0 to ``end``: multiples of 1, 2 or 5 times a power of ten."""
    if end <= 0:
        return (0.0,)
    least = end / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return tuple(round(number * step, 9) for number in range(int(end / step + 1e-9) + 1))


def format_tick(tick: float, ticks: Sequence[float]) -> str:
    """With as many digits as the step between ticks has."""
    step = ticks[1] if len(ticks) > 1 else 1.0
    return f"{tick:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def format_seconds(seconds: float, ready: float) -> str:
    """A phase's duration. In a start of less than 10 s to the millisecond: many phases take a few of them."""
    return f"{seconds:.{3 if ready < 10 else 2}f}"


def place_phase(phase: Mapping[str, Any], models: Collection[str] = ()) -> tuple[str, str]:
    """The lane of a phase, and its name in that lane. The lane follows from its ``process``, if it has that key: ``engine``,
    ``server``, ``model`` or the name of one of several models."""
    process = phase.get("process")
    return (
        (PROCESSES.get(process, f"{MODEL} {process}"), phase["name"]) if process else find_lane(phase["name"], models)
    )


def find_lane(name: str, models: Collection[str]) -> tuple[str, str]:
    """The lane of a phase by its name, and its name in that lane."""
    model, colon, phase = name.partition(": ")
    if colon and model in models:
        return f"{MODEL} {model}", phase
    return (SERVER if name == LIVE or name in SERVER_PHASES else MODEL), name


def _order(bar: Bar) -> tuple[float, float]:
    return bar.begin, bar.end


def _walk_back(lanes: Sequence[Lane]) -> Iterator[tuple[str, Bar]]:
    """The critical path, last phase first: from the phase that ended last, always to the phase that ended last before this one
    began.

    A phase that waits in the middle, as ``create`` does for a component that still opens, counts as a whole. Phases that nothing
    waits for are left out. A phase waits for phases of its own process. The first phases of a process wait for those of an
    earlier one: the Engine starts the server process, and the server process forks the model processes.
    """
    models = [lane for lane in lanes if lane.name not in (ENGINE, SERVER)] or lanes
    last = [(lane, bar) for lane in models for bar in lane.bars if _is_awaited(bar)]
    current = max(last, key=lambda found: found[1].end, default=None)
    while current is not None:
        lane, bar = current
        yield lane.name, bar
        current = max(_earlier(lanes, lane, bar), key=lambda found: found[1].end, default=None)


def _earlier(lanes: Sequence[Lane], lane: Lane, bar: Bar) -> Iterator[tuple[Lane, Bar]]:
    """The phases that had ended when this one began, and that it can have waited for."""
    yield from ((lane, other) for other in lane.bars if _precedes(other, bar, bar.begin))
    began = lane.bars[0].begin
    parents = {ENGINE: (), SERVER: (ENGINE,)}.get(lane.name, (ENGINE, SERVER))
    yield from (
        (parent, other)
        for parent in lanes
        if parent.name in parents
        for other in parent.bars
        if _precedes(other, bar, began)
    )


def _precedes(other: Bar, bar: Bar, moment: float) -> bool:
    return _is_awaited(other) and _order(other) < _order(bar) and other.end <= moment + CLOCK_SECONDS


def _is_awaited(bar: Bar) -> bool:
    return bar.ended and bar.name not in UNAWAITED_PHASES


def _mark(lane: Lane, path: Collection[tuple[str, Bar]]) -> Lane:
    return Lane(lane.name, tuple(replace(bar, critical=(lane.name, bar) in path) for bar in lane.bars))
