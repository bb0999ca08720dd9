"""The figures of a benchmark, as README.md has them."""

from __future__ import annotations

import pytest

from tests.benchmarks.readme import describe, replace_figures

BENCH = {
    "runs": [
        {"naive_ttfi_seconds": 5.0, "ttfi_seconds": 0.8, "ready_seconds": 0.6},
        {"naive_ttfi_seconds": 7.0, "ttfi_seconds": 1.2, "ready_seconds": 0.8},
    ],
    "naive_ttfi_seconds": 6.0,
    "ttfi_seconds": 1.0,
    "ready_seconds": 0.7,
    "floor_seconds": 0.35,
    "ratio": 6.0,
    "ratio_interval_95": [5.51, 6.44],
    "ready_over_floor": 2.0,
    "page_cache": "warm",
}


def test_the_figures_have_medians_extremes_and_the_machine() -> None:
    lines = describe(BENCH, "a machine").splitlines()
    assert lines[0].startswith("Measured by `prebake bench --model foley --runs 2` on a machine. ")
    assert "| naive image, first answer | 6.00 | 5.00 | 7.00 |" in lines
    assert "| Prebake, first answer (TTFI) | 1.00 | 0.80 | 1.20 |" in lines
    assert "| Prebake, ready | 0.70 | 0.60 | 0.80 |" in lines
    assert "6.0 times sooner than the naive image's (95% interval 5.5 to 6.4); ready is 2.00 times the" in lines[-2]


def test_only_what_lies_between_the_marks_is_replaced() -> None:
    page = "# Before\n<!-- measured -->\nearlier\n<!-- /measured -->\nafter\n"
    assert replace_figures(page, "new") == "# Before\n<!-- measured -->\nnew\n<!-- /measured -->\nafter\n"
    with pytest.raises(ValueError, match="measured"):
        replace_figures("# Before\n", "new")
