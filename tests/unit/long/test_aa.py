"""Which A/A series are a finding."""

from __future__ import annotations

import random

import pytest

from prebake.measure.gate.gate import GateResult, StartPair
from prebake.measure.gate.limits import Limits
from prebake.measure.gate.sequential import CLEAR, Side
from prebake.measure.gate.timed_start import TimedStart
from tests.long.aa import simulate, summarize, tail


def series(chance: random.Random, bias: float) -> GateResult:
    def start(factor: float) -> TimedStart:
        return TimedStart(factor * chance.gauss(1.0, 0.02), 0.1, None, [])

    pairs = [StartPair("image", start(bias), start(1.0)) for _ in range(40)]
    return GateResult(Limits(max_regression=0.0), pairs, 0, 40)


def test_sides_that_are_alike_pass() -> None:
    chance = random.Random(0)
    outcome = summarize([series(chance, 1.0) for _ in range(20)], 40, simulated=2000)
    assert outcome.findings == []
    assert any("gates gave a verdict, and each is wrong (1 may be)" in line for line in outcome.lines)


def test_a_bias_between_the_sides_is_a_finding() -> None:
    chance = random.Random(0)
    findings = summarize([series(chance, 1.1) for _ in range(20)], 40, simulated=100).findings
    assert [finding.partition(" in ")[0] for finding in findings] == ["a gate gives a wrong verdict"]


def test_simulated_gates_are_wrong_as_rarely_as_the_test_promises_whatever_the_noise() -> None:
    """The recorded ratios may have any distribution, also a bias and rare stalls: a coin turns each of them around."""
    chance = random.Random(1)
    ratios = [chance.lognormvariate(0.02, 0.1) * (5 if chance.random() < 0.05 else 1) for _ in range(200)]
    found = simulate(ratios, 4000, 40)
    for side in (Side.ABOVE, Side.BELOW):
        assert 0 < found.count(side) <= 4000 / CLEAR


@pytest.mark.parametrize(("count", "of", "expected"), [(0, 20, 1.0), (20, 20, 0.05**20), (1, 2, 1 - 0.95**2)])
def test_the_tail_of_the_binomial_distribution(count: int, of: int, expected: float) -> None:
    assert tail(count, of, 0.05) == pytest.approx(expected, abs=1e-12)
