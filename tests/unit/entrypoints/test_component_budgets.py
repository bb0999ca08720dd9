"""Which components fit into a memory budget at once."""

from __future__ import annotations

import pytest

from entrypoints.components.budgets import DEVICE, HOST, Budget, check_each_fits
from entrypoints.errors import MemoryLimitTooLow
from entrypoints.manifest.values import ByteRanges

RANGES: dict[str, ByteRanges] = {
    "encoder": {"a.bin": ((0, 100),)},
    "decoder": {"a.bin": ((50, 100),), "b.bin": ((0, 30),)},
    "upscaler": {"c.bin": ((0, 10), (20, 10))},
}


def test_a_byte_that_several_components_use_counts_once() -> None:
    budget = Budget(HOST, 200, RANGES)
    assert [budget.count([name]) for name in RANGES] == [100, 130, 20]
    assert budget.count(["encoder", "decoder"]) == 150 + 30
    assert budget.holds(RANGES)
    assert not budget._replace(size=199).holds(RANGES)


def test_a_component_elsewhere_takes_no_room() -> None:
    budget = Budget(DEVICE, 100, {"encoder": RANGES["encoder"]})
    assert budget.holds(RANGES)
    assert not budget.shares_room("encoder", "decoder")


def test_a_component_that_never_fits_is_refused_with_the_arithmetic() -> None:
    check_each_fits(Budget(HOST, 130, RANGES), pinned=())
    with pytest.raises(MemoryLimitTooLow) as caught:
        check_each_fits(Budget(HOST, 129, RANGES), pinned=())
    assert str(caught.value).endswith(
        "the host memory budget of 129 bytes cannot hold 130 bytes of weights: decoder 130"
    )


def test_pinned_components_need_room_beside_every_other() -> None:
    with pytest.raises(MemoryLimitTooLow) as caught:
        check_each_fits(Budget(HOST, 149, RANGES), pinned=["upscaler"])
    assert "cannot hold 150 bytes of weights: decoder 130, and upscaler 20, which is pinned" in str(caught.value)
    check_each_fits(Budget(HOST, 150, RANGES), pinned=["upscaler"])
