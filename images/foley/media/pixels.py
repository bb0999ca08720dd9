"""Frames in the form that the two visual encoders expect.

Frames are kept in 8 bits, which take a quarter of the memory, and become floats in -1..1 only for the batch that is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Views(NamedTuple):
    """Scaled frames at both rates; a frame that is used twice is kept once."""

    image: list[NDArray[np.uint8]]
    """At 8 a second, each ``[3, 512, 512]``."""
    sync: list[NDArray[np.uint8]]
    """At 25 a second, each ``[3, 224, 224]``."""


def image_values(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """``n`` scaled images to ``[n, 3, 512, 512]`` in -1..1: ``(level / 255 - 0.5) / 0.5``."""
    return _centre(np.divide(np.stack(frames), np.float32(255), dtype=np.float32))


def sync_values(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """``n`` scaled frames to ``[n, 3, 224, 224]`` in -1..1: ``(level * (1 / 255) - 0.5) / 0.5``."""
    return _centre(np.multiply(np.stack(frames), np.float32(1 / 255), dtype=np.float32))


def _centre(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """From 0..1 to -1..1, in place. Doubling is exact, as dividing by 0.5 is."""
    values -= np.float32(0.5)
    values += values
    return values
