"""The history as one self-contained page: a chart of each image, drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tools.start_history.history import Run

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 760, 240, 48, 24, 12
_LINES = {
    "naive_ttfi_seconds": ("#b0b0b0", "naive, first answer"),
    "ttfi_seconds": ("#d9480f", "Prebake, first answer"),
    "ready_seconds": ("#1c7ed6", "ready"),
    "floor_seconds": ("#2f9e44", "floor"),
}
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:800px}svg{width:100%;height:auto}b{font-weight:600}"
)


def draw_page(runs: Sequence[Run]) -> str:
    """HTML without scripts and without files of others."""
    names = sorted({name for run in runs for name in run.images})
    legend = " · ".join(f'<b style="color:{color}">{label}</b>' for color, label in _LINES.values())
    charts = "".join(f"<h2>{escape(name)}</h2>{draw_chart(name, runs)}" for name in names)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Cold starts</title><style>{_STYLE}</style>'
        f"<h1>Cold starts</h1><p>Medians in seconds, one point for each run. Runs may be on different machines.</p>"
        f"<p>{legend}</p>{charts}</html>\n"
    )


def draw_chart(name: str, runs: Sequence[Run]) -> str:
    """An SVG of the figures of one image: time from left to right by runs, seconds upwards from 0."""
    own = [run for run in runs if name in run.images]
    most = max((run.images[name].get(figure, 0.0) for run in own for figure in _LINES), default=0.0) or 1.0
    lines = "".join(_line(name, figure, own, most) for figure in _LINES)
    marks = "".join(
        f'<text x="{_LEFT - 6}" y="{_y(most * part, most) + 4:.1f}" text-anchor="end">{most * part:.2f}</text>'
        f'<path d="M{_LEFT} {_y(most * part, most):.1f}H{_WIDTH}" stroke="#ddd"/>'
        for part in (0, 0.5, 1)
    )
    days = f"{own[0].created[:10]} to {own[-1].created[:10]}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="12" role="img" aria-label="{escape(name)}, {days}">{marks}{lines}'
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">{days}</text></svg>'
    )


def _line(name: str, figure: str, runs: Sequence[Run], most: float) -> str:
    step = (_WIDTH - _LEFT - 8) / max(1, len(runs) - 1)
    points = [
        (_LEFT + number * step, _y(run.images[name][figure], most), run)
        for number, run in enumerate(runs)
        if figure in run.images[name]
    ]
    color, label = _LINES[figure]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"><title>{label}: {run.images[name][figure]:.3f} s, '
        f"{run.created[:10]}, {escape(run.revision[:12])}</title></circle>"
        for x, y, run in points
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>{dots}'


def _y(value: float, most: float) -> float:
    return _HEIGHT - _BOTTOM - value / most * (_HEIGHT - _BOTTOM - _TOP)
