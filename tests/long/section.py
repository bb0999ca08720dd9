"""A long run's section of docs/measurements/long-runs.md: when and where it ran, how, and its result."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prebake.io import subprocesses
from prebake.io.log import silent
from tests.support.repository import ROOT

PAGE = ROOT / "docs/measurements/long-runs.md"


@dataclass(frozen=True)
class Outcome:
    """``lines`` are Markdown. ``findings`` are the reasons why the run failed; none if it passed."""

    lines: Sequence[str]
    findings: Sequence[str] = ()


@dataclass(frozen=True)
class Circumstances:
    """Of a run: its command, the commit, the machine, and the load average of the minute before it."""

    command: str
    started: datetime
    commit: str
    machine: str
    load: float
    note: str = ""


def note_circumstances(command: str, engine_version: str, note: str) -> Circumstances:
    machine = f"{read_processor()}, {os.cpu_count()} cores, Linux {platform.release()}, Docker Engine {engine_version}"
    return Circumstances(command, datetime.now(UTC), read_commit(), machine, os.getloadavg()[0], note)


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name; its architecture if the kernel lists no name, as on some ARM machines."""
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def read_commit(root: Path = ROOT) -> str:
    """The commit, and whether tracked files differ from it. The page that the runs write does not count."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", f":!{PAGE.relative_to(ROOT)}")
    except subprocesses.CommandFailed:
        return "unknown"
    return f"{commit} with uncommitted changes" if changed else commit


def render(about: Circumstances, outcome: Outcome) -> str:
    """The section as Markdown."""
    minutes = (datetime.now(UTC) - about.started).total_seconds() / 60
    return "\n".join(
        [
            f"`{about.command}`",
            "",
            f"- **Run:** {about.started:%Y-%m-%d %H:%M} UTC, commit {about.commit}, {minutes:.1f} minutes",
            f"- **Machine:** {about.machine}",
            f"- **Load average:** {about.load:.1f} before the run, {os.getloadavg()[0]:.1f} in its last minute",
            *([f"- **Note:** {about.note}"] if about.note else []),
            f"- **Result:** {'failed' if outcome.findings else 'passed'}",
            *(f"  - {finding}" for finding in outcome.findings),
            "",
            *outcome.lines,
        ]
    )


def write(page: Path, name: str, text: str) -> None:
    """Replace the text between the marks of a run, ``<!-- name -->`` and ``<!-- /name -->``."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not found or not end:
        raise ValueError(f"{page} has no marks {first} and {last}")
    page.write_text(f"{before}{first}\n{text}\n{last}{after}", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table of Markdown, with an empty line after it."""
    return [
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
        "",
    ]


def _git(root: Path, *words: str) -> str:
    return subprocesses.run(
        ["git", "--no-optional-locks", "-C", str(root), *words], timeout=60, log=silent
    ).stdout.strip()
