"""``make aa``: an A/A series. An image is compared with itself, as ``prebake bench --against`` compares two builds.

The true ratio is 1. Its 95 % interval should therefore cover 1 in about 95 % of the series, and ``--check`` should hardly ever
fail. A bias between the two sides, or an interval that is too narrow, shows as intervals that leave 1 out too often.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import comb
from pathlib import Path
from statistics import median

from prebake.docker.connection import Connection
from prebake.io.log import Log, log_to_stderr, silent
from prebake.measure.bench.limits import Bound
from prebake.measure.bench.pair import Pair, run_pair
from prebake.measure.ports import Launcher
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.program import add_image_flags, image_of, run_program
from tests.long.section import Outcome, table

EXCLUDED, BELOW = 0.05, 0.025
"""How often a 95 % interval may leave 1 out, and how often it may lie below 1 as a whole. ``--check`` fails more rarely than the
second: its bound is below 1."""
SURPRISE = 0.001
"""The run fails if chance alone would give so many such series with a lower probability than this."""


def run_series(launcher: Launcher, image: str, series: int, runs: int, log: Log) -> list[Pair]:
    pairs = []
    for number in range(1, series + 1):
        pairs.append(run_pair(launcher, image, image, runs=runs, log=silent))
        ratios = ", ".join(f"{bound.name} {describe_bound(bound)}" for bound in pairs[-1].bounds)
        log(f"series {number}/{series}: {ratios}")
    return pairs


def summarize(pairs: Sequence[Pair]) -> Outcome:
    """By series and by figure, and how surprising that is."""
    names = [bound.name for bound in pairs[0].bounds]
    lines = table(
        ("series", *(f"{name}: ratio (95 % interval)" for name in names), "leaves 1 out", "`--check`"),
        [(number, *describe_pair(pair)) for number, pair in enumerate(pairs, 1)],
    )
    findings = []
    for position, name in enumerate(names):
        bounds = [pair.bounds[position] for pair in pairs]
        count = sum(excludes_1(bound) for bound in bounds)
        lines.append(
            f"- {name}: {count} of {len(pairs)} intervals leave 1 out ({len(pairs) * EXCLUDED:g} are expected); "
            f"median ratio {median(bound.ratio for bound in bounds):.3f}"
        )
        findings += find_surprise(f"{name}: the interval leaves 1 out", count, len(pairs), EXCLUDED)
    failed = sum(fails_check(pair) for pair in pairs)
    lines.append(f"- `--check` would have failed in {failed} of {len(pairs)} series")
    # either of the figures fails it
    findings += find_surprise("`--check` fails", failed, len(pairs), BELOW * len(names))
    return Outcome(lines, findings)


def excludes_1(bound: Bound) -> bool:
    low, high = bound.interval
    return not low <= 1 <= high


def fails_check(pair: Pair) -> bool:
    return any(bound.state == "missed" for bound in pair.bounds)


def find_surprise(what: str, count: int, series: int, share: float) -> list[str]:
    chance = tail(count, series, share)
    if chance >= SURPRISE:
        return []
    return [
        f"{what} in {count} of {series} series; by chance alone, {count} or more have a probability of {chance:.1g}"
    ]


def tail(count: int, of: int, share: float) -> float:
    """The probability of ``count`` or more successes (binomial distribution)."""
    return sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count, of + 1))


def describe_pair(pair: Pair) -> tuple[str, ...]:
    out = ", ".join(bound.name for bound in pair.bounds if excludes_1(bound))
    return (*map(describe_bound, pair.bounds), out or "no", "fails" if fails_check(pair) else "passes")


def describe_bound(bound: Bound) -> str:
    low, high = bound.interval
    return f"{bound.ratio:.3f} ({low:.3f} to {high:.3f})"


def measure(options: argparse.Namespace, engine: Connection, folder: Path) -> Outcome:
    with image_of(options, engine, folder) as image:
        return summarize(run_series(EngineLauncher(engine), image, options.series, options.runs, log_to_stderr))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.aa", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--series", type=int, default=20, help="default: 20")
    parser.add_argument("--runs", type=int, default=10, help="starts of each side in a series (default: 10)")
    return run_program("aa", parser, measure, words)


if __name__ == "__main__":
    sys.exit(main())
