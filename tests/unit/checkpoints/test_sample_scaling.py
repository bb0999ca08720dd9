"""Sizes of networks from bytes."""

from __future__ import annotations

import pytest

from prebake.checkpoints.sample_scaling import find_minimum, width_for


@pytest.mark.parametrize("size", [1, 99, 100, 101, 250, 1000, 12345])
def test_the_least_number_that_is_enough(size: int) -> None:
    def weigh(layers: int) -> int:
        return 50 + 50 * layers

    found = find_minimum(size, weigh)
    assert weigh(found) >= size
    assert found == 1 or weigh(found - 1) < size


@pytest.mark.parametrize(("size", "width"), [(10**9, 768), (4 * 10**9, 1536), (10**7, 64), (1, 64)])
def test_widths_go_with_the_square_root(size: int, width: int) -> None:
    assert width_for(size, full=768, unit=64) == width
