"""The table of one run as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from tools.start_history.history import Run

_HEAD = (
    "| image | Prebake, first answer | a run before | ready | floor | naive, first answer | naive / Prebake |\n"
    "|---|---|---|---|---|---|---|"
)


def draw_table(run: Run, before: Run | None) -> str:
    """One line for each image, in seconds. The change since the run before may be another machine's."""
    lines = [
        _line(name, figures, before.images.get(name, {}) if before else {}) for name, figures in run.images.items()
    ]
    return "\n".join(["### Cold starts, seconds", "", _HEAD, *lines, ""])


def _line(name: str, figures: Mapping[str, float], before: Mapping[str, float]) -> str:
    cells = [
        f"`{name}`",
        _number(figures.get("ttfi_seconds")),
        _number(before.get("ttfi_seconds")),
        _number(figures.get("ready_seconds")),
        _number(figures.get("floor_seconds")),
        _number(figures.get("naive_ttfi_seconds")),
        _number(figures.get("ratio")),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
