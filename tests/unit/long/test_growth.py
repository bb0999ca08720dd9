"""The line through the second half of a load: a steady growth is seen, noise and single large values are none."""

from __future__ import annotations

import random

import pytest

from tests.long.growth import fit_growth


def test_a_steady_growth_is_that_of_the_second_half() -> None:
    assert fit_growth([(at, 100 + 2 * at) for at in range(101)]) == pytest.approx(100)


def test_a_growth_of_the_first_half_is_none() -> None:
    assert fit_growth([(at, min(at, 40)) for at in range(101)]) == 0


def test_large_values_for_a_moment_are_none() -> None:
    assert fit_growth([(at, 1000 if at % 7 == 0 else 50) for at in range(101)]) == pytest.approx(0, abs=1)


def test_noise_does_not_hide_a_growth() -> None:
    draw = random.Random(0)
    assert fit_growth([(at, draw.gauss(50, 5) + at) for at in range(101)]) == pytest.approx(50, abs=10)


def test_few_samples_tell_nothing() -> None:
    assert fit_growth([]) == 0
    assert fit_growth([(0, 0), (1, 10), (2, 20)]) == 0
