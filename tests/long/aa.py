"""``make aa``: an A/A series. An image is gated against itself, at a limit of 0 %, as ``prebake bench --baseline`` does.

The true ratio is 1, so both verdicts, pass and fail, are wrong. A gate may give each of them in at most 1 of 40 series. A bias
between the two sides, or starts that depend on each other, show as wrong verdicts that are more frequent.

The starts of all series are also shuffled into simulated series: 10,000 gates whose pairs are drawn from the recorded ratios.
Each of them is turned around by a coin, so that neither side is slower in truth.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from math import comb
from pathlib import Path
from statistics import median

from prebake.docker.connection import Connection
from prebake.io.log import Log, log_to_stderr, silent
from prebake.measure.gate.gate import MAX_PAIRS, GateResult, GateSide, run_gate
from prebake.measure.gate.limits import Limits
from prebake.measure.gate.sequential import CLEAR, Side, judge
from prebake.measure.ports import Launcher
from prebake.measure.warmup_request import read_warmups
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.program import add_image_flags, image_of, run_program
from tests.long.section import Outcome, table

WRONG = 2 / CLEAR
"""How often a gate may be wrong, on both sides together."""
SURPRISE = 0.001
"""The run fails if chance alone would give so many wrong gates with a lower probability than this."""
SIMULATED = 10_000


def run_series(launcher: Launcher, image: str, series: int, pairs: int, log: Log) -> list[GateResult]:
    side, limits = GateSide(image, read_warmups(launcher, image)), Limits(max_regression=0.0)
    found = []
    for number in range(1, series + 1):
        found.append(run_gate(launcher, side, side, limits, log=silent, max_pairs=pairs))
        log(f"series {number}/{series}: {describe(found[-1])}")
    return found


def summarize(results: Sequence[GateResult], pairs: int, simulated: int = SIMULATED) -> Outcome:
    """By series, the wrong verdicts, and how surprising they are."""
    lines = table(
        ("series", "pairs", "first answer: ratio (95 % interval)", "spread", "verdict"),
        [(number, len(each.pairs), *cells(each)) for number, each in enumerate(results, 1)],
    )
    wrong = sum(each.verdict.value != "unclear" for each in results)
    ratios = [ratio for each in results for ratio in each.ratios]
    lines.append(
        f"- {wrong} of {len(results)} gates gave a verdict, and each is wrong ({len(results) * WRONG:g} may be); the median of "
        f"all {len(ratios)} paired ratios is {median(ratios):.4f}"
    )
    findings = find_surprise("a gate gives a wrong verdict", wrong, len(results), WRONG)
    false = simulate(ratios, simulated, pairs)
    lines.append(
        f"- of {simulated:,} gates simulated from these ratios, {false.count(Side.ABOVE) / simulated:.2%} fail and "
        f"{false.count(Side.BELOW) / simulated:.2%} pass ({1 / CLEAR:.1%} may each)"
    )
    for side in (Side.ABOVE, Side.BELOW):
        findings += find_surprise(f"a simulated gate says {side.value}", false.count(side), simulated, 1 / CLEAR)
    return Outcome(lines, findings)


def simulate(ratios: Sequence[float], gates: int, pairs: int) -> list[Side]:
    """The verdicts of gates at a limit of 0 % that are judged after every pair. Each pair is a recorded one, turned around by a
    coin."""
    chance = random.Random(0)
    return [simulate_one(ratios, pairs, chance) for _ in range(gates)]


def simulate_one(ratios: Sequence[float], pairs: int, chance: random.Random) -> Side:
    drawn: list[float] = []
    for _ in range(pairs):
        ratio = chance.choice(ratios)
        drawn.append(ratio if chance.random() < 1 / 2 else 1 / ratio)
        if (side := judge(drawn, 1.0)) is not Side.UNCLEAR:
            return side
    return Side.UNCLEAR


def find_surprise(what: str, count: int, series: int, share: float) -> list[str]:
    chance = tail(count, series, share)
    if chance >= SURPRISE:
        return []
    return [
        f"{what} in {count} of {series} series; by chance alone, {count} or more have a probability of {chance:.1g}"
    ]


def tail(count: int, of: int, share: float) -> float:
    """The probability of ``count`` or more successes (binomial distribution)."""
    return 1 - sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count))


def cells(result: GateResult) -> tuple[str, str, str]:
    low, high = result.interval
    spread = "" if result.spread is None else f"{result.spread:.1%}"
    return f"{result.ratio:.3f} ({low:.3f} to {high:.3f})", spread, result.verdict.value


def describe(result: GateResult) -> str:
    ratio, spread, verdict = cells(result)
    return f"{len(result.pairs)} pairs, ratio {ratio}, spread {spread}: {verdict}"


def measure(options: argparse.Namespace, engine: Connection, folder: Path) -> Outcome:
    with image_of(options, engine, folder) as image:
        results = run_series(EngineLauncher(engine), image, options.series, options.pairs, log_to_stderr)
        return summarize(results, options.pairs)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.aa", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--series", type=int, default=20, help="default: 20")
    parser.add_argument(
        "--pairs", type=int, default=MAX_PAIRS, help=f"the most pairs of starts in a series (default: {MAX_PAIRS})"
    )
    return run_program("aa", parser, measure, words)


if __name__ == "__main__":
    sys.exit(main())
