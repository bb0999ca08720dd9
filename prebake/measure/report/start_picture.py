"""An SVG picture of a measured start. Upper panel: Prebake and the naive image on one scale. Lower panel: Prebake's start alone,
phase by phase."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from prebake.measure.report.waterfall import (
    SERVER,
    Bar,
    Lane,
    Waterfall,
    choose_ticks,
    format_seconds,
    format_tick,
    lay_out_report,
)

WIDTH, MARGIN = 820, 16
NAMES = 200
"""The x of the upper panel's bars; their names are left of it."""
FIGURES = 170
"""The room right of the longest bar of the upper panel."""
ROW, BAR = 22, 13
PHASE_ROW, PHASE_BAR = 17, 11
LANE_HEAD, LANE_GAP = 20, 6
TITLE = 34
AXIS = 20
LETTER = 6.3
"""The width of a letter of 11 pixels, at most, on average."""
STYLE = (
    ".page{fill:#fff}.lane{fill:#f6f8fa}text{font:11px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}"
    ".head{font-size:13px;font-weight:600}.name{font-weight:600}.bold{font-weight:600}.light{fill:#59636e}"
    ".halo{paint-order:stroke;stroke:#f6f8fa;stroke-width:3px;stroke-linejoin:round}"
    ".edge{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}"
    ".grid{stroke:#d1d9e0}.link{stroke:#0969da;fill:none}.mark{stroke:#1a7f37;stroke-width:1.5}.live{stroke-dasharray:3 3}"
    ".naive{fill:#8c959f}.ours{fill:#1a7f37}.ready{fill:#4ac26b}.floor{fill:#8250df}"
    ".critical{fill:#0969da}.beside{fill:#b6c3d1}"
    "@media(prefers-color-scheme:dark){.page{fill:#0d1117}.lane{fill:#161b22}text{fill:#e6edf3}.light{fill:#9198a1}"
    ".halo{stroke:#161b22}.edge{stroke:#0d1117}.grid{stroke:#30363d}.link{stroke:#58a6ff}.mark{stroke:#3fb950}.naive{fill:#7d8590}"
    ".ours{fill:#3fb950}.ready{fill:#2a7d3c}.floor{fill:#a371f7}.critical{fill:#58a6ff}.beside{fill:#3d4a5c}}"
)


def draw_start(report: Mapping[str, Any]) -> str:
    """``report`` is the document of ``prebake bench``, or a build's report with ``naive_ttfi_seconds``."""
    start = lay_out_report(report)
    naive, ours = report["naive_ttfi_seconds"], report["ttfi_seconds"]
    upper, top = _compare(naive, ours, report["ready_seconds"], report["floor_seconds"])
    upper += _text(WIDTH - MARGIN, 22, _conditions(report), "light", anchor="end") + "\n"
    lower, height = _draw_waterfall(start, top)
    title = f"First answer after {ours:.2f} s, of the naive image after {naive:.2f} s"
    chain = ", ".join(f"{bar.name} {format_seconds(bar.seconds, start.ready)} s" for bar in start.path)
    description = (
        f"Upper panel: the naive image's first answer after {naive:.2f} s; Prebake's first answer after {ours:.2f} s and ready "
        f"after {report['ready_seconds']:.2f} s; floor {report['floor_seconds']:.2f} s. Lower panel: one start of Prebake's "
        f"image, ready after {start.ready:.2f} s, as bars by process. Critical path: {chain}."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="title description"><title id="title">{escape(title)}</title>'
        f'<desc id="description">{escape(description)}</desc><style>{STYLE}</style>'
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>\n{upper}{lower}</svg>\n'
    )


def _conditions(report: Mapping[str, Any]) -> str:
    """How it was measured; of a benchmark also the machine's load, as other work makes every start slower."""
    if "runs" not in report:
        return "medians"
    load = report["load_average"]["before"]
    return f"medians of {len(report['runs'])} starts each, page cache {report['page_cache']}, load average {load:.1f} before"


def _compare(naive: float, ours: float, ready: float, floor: float) -> tuple[str, int]:
    """The upper panel, and the y where the next one begins."""
    scale = (WIDTH - NAMES - FIGURES) / max(naive, ours, 1e-9)
    ratio = f", {naive / ours:.1f} times sooner" if ours > 0 else ""
    rows = [
        ("naive image: first answer", naive, "naive", ""),
        ("Prebake: first answer", ours, "ours", ratio),
        ("Prebake: ready", ready, "ready", ""),
        ("floor on this machine", floor, "floor", ""),
    ]
    bottom = TITLE + len(rows) * ROW
    lines = [_text(MARGIN, 22, "A fresh container, from the request to start it", "head")]
    lines += _axis(max(naive, ours), NAMES, scale, TITLE, bottom, 8)
    for number, (name, seconds, kind, remark) in enumerate(rows):
        top = TITLE + number * ROW + (ROW - BAR) // 2
        lines.append(_text(NAMES - 10, top + BAR - 2, name, anchor="end"))
        lines.append(_bar(NAMES, top, seconds * scale, BAR, kind))
        emphasis = "edge bold" if remark else "edge"
        lines.append(_text(NAMES + max(seconds * scale, 1.0) + 7, top + BAR - 2, f"{seconds:.2f} s{remark}", emphasis))
    return "\n".join(lines) + "\n", bottom + AXIS + 14


def _draw_waterfall(start: Waterfall, top: int) -> tuple[str, int]:
    """The lower panel, and the y of its end."""
    left, right = MARGIN, WIDTH - MARGIN
    scale = (right - left) / max(start.ready, 1e-9)
    heading = top + 16
    lines = [
        _text(left, heading, f"Prebake's start alone: ready after {start.ready:.2f} s", "head"),
        f'<rect class="critical" x="{right - 380}" y="{heading - 10}" width="22" height="{PHASE_BAR}" rx="2"/>',
        _text(right - 352, heading, "critical path: ready waited for these"),
        f'<rect class="beside" x="{right - 138}" y="{heading - 10}" width="22" height="{PHASE_BAR}" rx="2"/>',
        _text(right - 110, heading, "at the same time"),
    ]
    first = top = heading + 14
    lanes, tops = [], dict[tuple[float, float, str], int]()
    for lane in start.lanes:
        height = LANE_HEAD + len(lane.bars) * PHASE_ROW + 4
        lines.append(f'<rect class="lane" x="{left}" y="{top}" width="{right - left}" height="{height}" rx="4"/>')
        lanes.append(_text(left + 6, top + 14, lane.name, "name halo"))
        for number, bar in enumerate(lane.bars):
            tops[_key(bar)] = top + LANE_HEAD + number * PHASE_ROW
            lanes.append(_phase(bar, tops[_key(bar)], scale, start.ready))
        lines += _live(lane, start, top, top + height, scale)
        top += height + LANE_GAP
    bottom = top - LANE_GAP
    lines += _axis(start.ready, left, scale, first, bottom, 11)
    lines += _links(start.path, tops, scale)
    lines.append(f'<line class="mark" x1="{right}" x2="{right}" y1="{first}" y2="{bottom}"/>')
    return "\n".join([*lines, *lanes]) + "\n", bottom + AXIS + 8


def _phase(bar: Bar, top: int, scale: float, ready: float) -> str:
    """A bar with its label: to its right if there is room, else to its left, else on it."""
    left, width = MARGIN + bar.begin * scale, max(bar.seconds * scale, 1.5)
    label = f"{bar.name} {'' if bar.ended else 'over '}{format_seconds(bar.seconds, ready)} s"
    kind, room, base = "halo bold" if bar.critical else "halo", len(label) * LETTER + 8, top + PHASE_BAR - 1
    if left + width + room <= WIDTH - MARGIN:
        text = _text(left + width + 5, base, label, kind)
    elif left - room >= MARGIN:
        text = _text(left - 5, base, label, kind, anchor="end")
    else:
        text = _text(left + 5, base, label, kind)
    return _bar(left, top, width, PHASE_BAR, "critical" if bar.critical else "beside") + text


def _live(lane: Lane, start: Waterfall, top: int, bottom: int, scale: float) -> Iterator[str]:
    """When the server process answers liveness. The label is in the lane's head, right of its name."""
    if lane.name != SERVER or start.live is None:
        return
    at, label = MARGIN + start.live * scale, f"live after {start.live:.2f} s"
    yield f'<line class="mark live" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>'
    name_end = MARGIN + 6 + len(lane.name) * (LETTER + 1) + 8
    if at + len(label) * LETTER + 8 <= WIDTH - MARGIN:
        yield _text(max(at + 5, name_end), top + 14, label, "halo")
    else:
        yield _text(at - 5, top + 14, label, "halo", anchor="end")


def _links(path: Sequence[Bar], tops: Mapping[tuple[float, float, str], int], scale: float) -> Iterator[str]:
    """From each phase of the critical path to the next."""
    for bar, following in itertools.pairwise(path):
        end, begin = (MARGIN + moment * scale for moment in (bar.end, following.begin))
        upper, lower = tops[_key(bar)] + PHASE_BAR / 2, tops[_key(following)] + PHASE_BAR / 2
        yield f'<path class="link" d="M{end:.1f} {upper:.1f}H{begin + 0.75:.1f}V{lower:.1f}"/>'


def _key(bar: Bar) -> tuple[float, float, str]:
    return bar.begin, bar.end, bar.name


def _axis(end: float, left: int, scale: float, top: int, bottom: int, most: int) -> Iterator[str]:
    """Grid lines with their seconds below."""
    ticks = choose_ticks(end, most)
    for tick in ticks:
        at = left + tick * scale
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom + 4}"/>'
        anchor = "start" if at < MARGIN + 12 else "end" if at > WIDTH - MARGIN - 12 else "middle"
        yield _text(at, bottom + 16, f"{format_tick(tick, ticks)} s", "light", anchor=anchor)


def _bar(left: float, top: int, width: float, height: int, kind: str) -> str:
    return f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{max(width, 1.0):.1f}" height="{height}" rx="2"/>'


def _text(left: float, base: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{style} x="{left:.1f}" y="{base:g}"{place}>{escape(text)}</text>'
