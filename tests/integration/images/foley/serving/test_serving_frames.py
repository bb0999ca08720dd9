"""Frame choice, windows and lengths against the golden tables."""

from __future__ import annotations

import numpy as np
import pytest

from images.foley.media.frames import Clock, count_windows, latent_length, window_bounds
from tests.support.repository import ROOT

VIDEO = np.load(ROOT / "tests/support/foley/golden/video.npz")
TABLES = [name.removeprefix("index_") for name in VIDEO.files if name.startswith("index_")]


def chosen(times: list[float], rate: float) -> list[int]:
    clock = Clock(rate)
    return [index for index, time in enumerate(times) for _ in range(clock.take(time))]


@pytest.mark.parametrize("table", TABLES)
def test_frames_are_those_that_the_published_model_takes(table: str) -> None:
    case, rate = table.rsplit("_", 1)
    times = VIDEO[f"f64_times_{case}"].tolist()
    assert chosen(times, float(rate.removesuffix("fps"))) == VIDEO[f"index_{table}"].tolist()


def test_the_clock_is_added_up() -> None:
    """A clock of ``k / rate`` would take each of the 125 frames once."""
    assert chosen([index / 25 for index in range(125)], 25.0)[:8] == [0, 1, 2, 3, 4, 5, 7, 7]


def test_frames_before_zero_and_after_the_end_are_not_taken() -> None:
    assert chosen([-0.04, 0.0, 15.000001, 16.0], 8.0) == [1]


def test_latent_lengths_and_window_counts() -> None:
    frames = VIDEO["frames25"].tolist()
    assert [latent_length(count) for count in frames] == VIDEO["latent_len"].tolist()
    assert [count_windows(count) for count in frames] == VIDEO["num_segments"].tolist()


@pytest.mark.parametrize("frames", [16, 23, 24, 33, 125, 376])
def test_windows_overlap_by_half(frames: int) -> None:
    every_second = [index for first, end in window_bounds(frames) for index in range(first, end, 2)]
    assert every_second == VIDEO[f"windows_{frames}"].tolist()


@pytest.mark.parametrize("frames", [0, 1, 15])
def test_too_few_frames_make_no_window(frames: int) -> None:
    assert count_windows(frames) == 0
    assert window_bounds(frames) == []
