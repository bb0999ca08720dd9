"""Which vectors and which picture belong to a frame."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from images.heygem.media.timing import count_frames, pendulum, window_indices


@pytest.mark.parametrize(
    ("seconds", "frames"), [("0.2", 5), ("1", 25), ("1.04", 26), ("1.0001", 26), ("1.0399", 26), ("60", 1500)]
)
def test_frames_cover_the_sound(seconds: str, frames: int) -> None:
    assert count_frames(Fraction(seconds)) == frames


@pytest.mark.parametrize("window", [1, 2, 4, 5, 10])
def test_a_window_lies_around_what_is_heard_when_its_frame_appears(window: int) -> None:
    indices = window_indices(50, 99, window)
    assert indices.shape == (50, window)
    middles = (indices.mean(axis=1) * 20 + 12.5)[6:-6]  # milliseconds: vector i hears from 20 i to 20 i + 25
    appears = np.arange(50)[6:-6] * 40
    assert np.abs(middles - appears).max() <= 12.5


def test_windows_stay_within_the_sound() -> None:
    assert window_indices(3, 4, 4).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3], [2, 3, 3, 3]]


@pytest.mark.parametrize(
    ("pictures", "order"), [(1, [0] * 7), (2, [0, 1, 0, 1, 0, 1, 0]), (4, [0, 1, 2, 3, 2, 1, 0]), (9, [*range(7)])]
)
def test_a_short_film_goes_to_and_fro(pictures: int, order: list[int]) -> None:
    assert pendulum(7, pictures).tolist() == order
