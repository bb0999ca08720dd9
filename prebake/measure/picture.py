"""A picture of a measured start as SVG: phases, ours against naive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, LEFT, ROW, BAR = 820, 190, 24, 14
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.light{fill:#57606a}.ours{fill:#1a7f37}.phase{fill:#54aeff}"
    ".naive{fill:#cf222e}.floor{stroke:#8250df;stroke-dasharray:4 3}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.light{fill:#9198a1}}"
)


def draw_start(phases: Sequence[Mapping[str, Any]], ttfi: float, naive_ttfi: float, floor: float) -> str:
    """Bars on one time axis in seconds; the phases count from the process's own start."""
    timed = [phase for phase in phases if phase.get("seconds") is not None]
    scale = (WIDTH - LEFT - 70) / max(naive_ttfi, ttfi, 1e-9)
    rows = [
        _bar(0, "naive: first answer", 0.0, naive_ttfi, scale, "naive"),
        _bar(1, "Prebake: first answer", 0.0, ttfi, scale, "ours"),
    ]
    rows += [
        _bar(index + 2, f"· {phase['name']}", phase["start"], phase["seconds"], scale, "phase")
        for index, phase in enumerate(timed)
    ]
    height = ROW * len(rows) + 34
    line = LEFT + floor * scale
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="First answer after {ttfi:.2f} s, naive after {naive_ttfi:.2f} s"><style>{STYLE}</style>'
        + "".join(rows)
        + f'<line class="floor" x1="{line:.1f}" x2="{line:.1f}" y1="4" y2="{height - 22}"/>'
        + f'<text class="light" x="{line + 4:.1f}" y="{height - 8}">floor {floor:.2f} s</text></svg>\n'
    )


def _bar(row: int, label: str, start: float, seconds: float, scale: float, kind: str) -> str:
    top, left, width = row * ROW + 6, LEFT + start * scale, max(seconds * scale, 1.0)
    return (
        f'<text x="8" y="{top + 11}">{escape(label)}</text>'
        f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>'
        f'<text class="light" x="{left + width + 6:.1f}" y="{top + 11}">{seconds:.2f} s</text>'
    )
