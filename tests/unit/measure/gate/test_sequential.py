"""The sequential sign test, against its definition and against chance, computed exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prebake.measure.gate.sequential import CLEAR, Side, evidence, judge, least_clear, median_interval


def integrate(count: int, others: int, steps: int = 20_000) -> float:
    """The mean likelihood ratio over p between 1/2 and 1, by the midpoint rule."""
    points = ((0.5 + (step + 0.5) / steps / 2) for step in range(steps))
    return sum((2 * p) ** count * (2 * (1 - p)) ** others for p in points) / steps


@pytest.mark.parametrize(("count", "others"), [(0, 0), (1, 0), (0, 1), (8, 0), (11, 1), (12, 8), (3, 9), (30, 10)])
def test_the_evidence_is_the_mean_likelihood_ratio(count: int, others: int) -> None:
    assert float(evidence(count, others)) == pytest.approx(integrate(count, others), rel=1e-6)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_evidence_is_a_martingale_if_both_signs_are_equally_likely(count: int, others: int) -> None:
    expected = (evidence(count + 1, others) + evidence(count, others + 1)) / 2
    assert expected == evidence(count, others)


@pytest.mark.parametrize(("total", "least"), [(7, None), (8, 8), (12, 11), (20, 17), (40, 30)])
def test_how_many_values_have_to_agree(total: int, least: int | None) -> None:
    assert least_clear(total) == least


@pytest.mark.parametrize("most", [8, 40, 200])
def test_chance_makes_a_side_clear_in_less_than_one_of_forty_series(most: int) -> None:
    """Exactly, by all numbers of values above, of series that are looked at after every value and stopped if they are clear."""
    running, stopped = {0: Fraction(1)}, Fraction(0)
    for total in range(1, most + 1):
        following: dict[int, Fraction] = {}
        for above, probability in running.items():
            for sign in (0, 1):
                following[above + sign] = following.get(above + sign, Fraction(0)) + probability / 2
        clear = [above for above in following if evidence(above, total - above) >= CLEAR]
        stopped += sum((following.pop(above) for above in clear), Fraction(0))
        running = following
    assert 0 < stopped < Fraction(1, CLEAR)


def test_a_value_at_the_limit_speaks_for_neither_side() -> None:
    assert judge([1.0] * 40, 1.0) is Side.UNCLEAR
    assert judge([1.0] * 3 + [2.0] * 37, 1.0) is Side.ABOVE
    assert judge([1.0] * 3 + [0.5] * 37, 1.0) is Side.BELOW


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=60), st.floats(0.1, 10))
def test_a_limit_outside_the_interval_is_clear_and_one_inside_is_not(values: list[float], limit: float) -> None:
    low, high = median_interval(values)
    side = judge(values, limit)
    if limit < low:
        assert side is Side.ABOVE
    elif limit > high:
        assert side is Side.BELOW
    else:
        assert side is Side.UNCLEAR or limit in (low, high)


def test_too_few_values_have_no_interval() -> None:
    assert median_interval([1.0] * 7) == (-math.inf, math.inf)
    assert median_interval([float(value) for value in range(8)]) == (0.0, 7.0)
