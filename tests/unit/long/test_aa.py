"""Which A/A series are a finding."""

from __future__ import annotations

import random

import pytest

from prebake.measure.bench.pair import Pair, Series
from tests.long.aa import summarize, tail


def series(chance: random.Random, bias: float) -> Pair:
    def starts(factor: float) -> list[float]:
        return [factor * chance.gauss(1.0, 0.02) for _ in range(10)]

    return Pair(Series("image", starts(bias), starts(bias)), Series("image", starts(1.0), starts(1.0)))


def test_sides_that_are_alike_pass() -> None:
    chance = random.Random(0)
    outcome = summarize([series(chance, 1.0) for _ in range(20)])
    assert outcome.findings == []
    assert any("intervals leave 1 out (1 are expected)" in line for line in outcome.lines)


def test_a_bias_between_the_sides_is_a_finding() -> None:
    chance = random.Random(0)
    findings = summarize([series(chance, 1.1) for _ in range(20)]).findings
    assert [finding.partition(" in ")[0] for finding in findings] == [
        "ready: the interval leaves 1 out",
        "first answer: the interval leaves 1 out",
        "`--check` fails",
    ]


def test_a_small_bias_is_a_finding_before_a_check_fails() -> None:
    chance = random.Random(0)
    findings = summarize([series(chance, 1.03) for _ in range(20)]).findings
    assert findings
    assert not any("--check" in finding for finding in findings)


@pytest.mark.parametrize(("count", "of", "expected"), [(0, 20, 1.0), (20, 20, 0.05**20), (1, 2, 1 - 0.95**2)])
def test_the_tail_of_the_binomial_distribution(count: int, of: int, expected: float) -> None:
    assert tail(count, of, 0.05) == pytest.approx(expected)
