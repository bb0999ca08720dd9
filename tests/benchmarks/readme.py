"""Write the last benchmark of foley into README.md and docs/start.svg: ``python -m tests.benchmarks.readme``.

It reads ``build/bench/foley.json``, which `prebake bench --model foley` has written; it measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prebake.io.atomic_write import write_text
from prebake.measure.report.start_picture import draw_start

ROOT = Path(__file__).parents[2]
FIRST, LAST = "<!-- measured -->", "<!-- /measured -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    machine = f"a shared machine with {os.cpu_count()} cores and no GPU"
    parser.add_argument("--machine", default=machine, help="the machine in words (default: %(default)s)")
    asked = parser.parse_args()
    bench = json.loads((ROOT / "build" / "bench" / "foley.json").read_bytes())
    readme = ROOT / "README.md"
    write_text(readme, replace_figures(readme.read_text(), describe(bench, asked.machine)))
    write_text(ROOT / "docs" / "start.svg", draw_start(bench))


def describe(bench: Mapping[str, Any], machine: str) -> str:
    """The figures as Markdown."""
    runs: Sequence[Mapping[str, float]] = bench["runs"]
    naive, ours, ready = (
        f"{bench[name]:.2f} | {min(each):.2f} | {max(each):.2f} |"
        for name in ("naive_ttfi_seconds", "ttfi_seconds", "ready_seconds")
        for each in [[run[name] for run in runs]]
    )
    low, high = bench["ratio_interval_95"]
    return f"""\
Measured by `prebake bench --model foley --runs {len(runs)}` on {machine}. Both images have the
sample's weights. Fresh containers of each image were started in turn; the page cache was {bench["page_cache"]}. Seconds:

| | median | least | most |
|---|---|---|---|
| naive image, first answer | {naive}
| Prebake, first answer (TTFI) | {ours}
| Prebake, ready | {ready}
| floor: an empty container, reading the weights, one steady inference | {bench["floor_seconds"]:.2f} | | |

The first answer comes {bench["ratio"]:.1f} times sooner than the naive image's (95% interval {low:.1f} to {high:.1f}); \
ready is {bench["ready_over_floor"]:.2f} times the
floor."""


def replace_figures(page: str, figures: str) -> str:
    """The page with these figures between the marks."""
    before, first, rest = page.partition(FIRST)
    _, last, after = rest.partition(LAST)
    if not (first and last):
        raise ValueError(f"README.md should have {FIRST} and {LAST}")
    return f"{before}{FIRST}\n{figures}\n{LAST}{after}"


if __name__ == "__main__":
    main()
