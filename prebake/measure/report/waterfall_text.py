"""A start as lines of text: a waterfall of block characters, or a table if the screen is narrow."""

from __future__ import annotations

from collections.abc import Iterator

from prebake.io.terminal import Screen
from prebake.measure.report.waterfall import SERVER, Bar, Lane, Waterfall, choose_ticks, format_seconds, format_tick

MIN_COLUMNS = 80
MAX_COLUMNS = 140
MAX_NAME = 30
SECONDS = 7
"""Characters of a duration: ``  12.34``."""
TICK_COLUMNS = 7
"""The least distance of two ticks."""


def draw_waterfall(start: Waterfall, screen: Screen) -> list[str]:
    """The lines of the waterfall, as wide as the screen. On fewer columns than ``MIN_COLUMNS``, of a table."""
    if screen.columns < MIN_COLUMNS:
        return list(_table(start))
    return list(_waterfall(start, screen))


def _waterfall(start: Waterfall, screen: Screen) -> Iterator[str]:
    critical, other = ("█", "▒") if screen.blocks else ("#", "=")
    longest = max((len(bar.name) for lane in start.lanes for bar in lane.bars), default=0)
    left = min(longest, MAX_NAME) + 2
    chart = min(screen.columns, MAX_COLUMNS) - left - SECONDS - 2
    yield (
        f"{screen.strong(critical * 2)} critical path (ready waited for these phases)   "
        f"{screen.dim(other * 2)} at the same time"
    )
    yield f"{'seconds':>{left + SECONDS}}  {_axis(start.ready, chart)}"
    for lane in start.lanes:
        yield _heading(lane, start)
        for bar in lane.bars:
            sign, style = (critical, screen.strong) if bar.critical else (other, screen.dim)
            offset, length = _place(bar, start.ready, chart)
            yield f"  {_shorten(bar.name):{left - 2}}{_duration(bar, start):>{SECONDS}}  {' ' * offset}{style(sign * length)}"


def _table(start: Waterfall) -> Iterator[str]:
    yield "    begin  seconds  (* critical path)"
    for lane in start.lanes:
        yield _heading(lane, start)
        for bar in lane.bars:
            begin = format_seconds(bar.begin, start.ready)
            yield f"{'*' if bar.critical else ' '} {begin:>7}  {_duration(bar, start):>{SECONDS}}  {bar.name}"


def _heading(lane: Lane, start: Waterfall) -> str:
    return lane.name + (f": live after {start.live:.2f} s" if lane.name == SERVER and start.live is not None else "")


def _place(bar: Bar, ready: float, chart: int) -> tuple[int, int]:
    """The first character of a bar, and its length: at least one."""
    first, last = (round(moment / ready * chart) if ready > 0 else 0 for moment in (bar.begin, bar.end))
    first = min(first, chart - 1)
    return first, max(last - first, 1)


def _axis(ready: float, chart: int) -> str:
    """The numbers of the ticks, each with its first character at its moment. One that does not fit is left out."""
    ticks = choose_ticks(ready, max(chart // TICK_COLUMNS, 2))
    line = ""
    for tick in ticks:
        longer = line.ljust(round(tick / ready * chart) if ready > 0 else 0) + format_tick(tick, ticks)
        line = longer if len(longer) <= chart else line
    return line


def _duration(bar: Bar, start: Waterfall) -> str:
    return f"{'' if bar.ended else '>'}{format_seconds(bar.seconds, start.ready)}"


def _shorten(name: str) -> str:
    """The beginning and the end of a long name."""
    if len(name) <= MAX_NAME:
        return name
    kept = MAX_NAME - 2
    return f"{name[: kept // 2]}..{name[len(name) - kept + kept // 2 :]}"
