"""Write the job's summary: the report of the comparison, or the figures of the build if there was nothing to compare with."""

from __future__ import annotations

import os

from tools.action.github.log import add_summary
from tools.action.settings import Settings, read_settings


def main() -> int:
    add_summary(describe(read_settings(), os.environ.get("VERDICT", ""), os.environ.get("REASON", "")))
    return 0


def describe(settings: Settings, verdict: str, reason: str) -> str:
    """Markdown for the summary and for the comment. ``reason`` says why there is no baseline."""
    path = settings.result(".md")
    if verdict != "none":
        return path.read_text(encoding="utf-8")
    report = settings.report()
    rows = {
        "first answer (TTFI)": _seconds(report.get("ttfi_seconds")),
        "ready": _seconds(report.get("ready_seconds")),
        "floor": _seconds(report.get("floor_seconds")),
        "image": f"{int(report.get('size', 0)) / 1e6:.1f} MB",
        "digest": f"`{report.get('digest', '')}`",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"### `{settings.model}`: no baseline yet\n\n{plain(reason)} Nothing was compared. "
        f"The next run compares, once a baseline exists.\n\n| | |\n|---|---|\n{table}\n"
    )


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is: it may have the name of a branch."""
    return "".join(f"&#{ord(character)};" if character in "`*_[]<>&|\\!#@" else character for character in text)


def _seconds(value: object) -> str:
    return f"{value:.2f} s" if isinstance(value, int | float) else "not measured"
