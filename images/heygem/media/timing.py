"""The sound and the picture for each frame of the answer: 25 frames a second, frame t at t / 25 seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fractions import Fraction

FRAME_RATE = 25
TOKENS_A_FRAME = 2
"""wav2vec2 gives a vector each 20 ms."""

Samples = NDArray[np.float32]


class Voice(NamedTuple):
    """One channel at two rates, samples in -1..1, and how many frames the answer has."""

    heard: Samples
    sound: Samples
    frames: int


def count_frames(seconds: Fraction) -> int:
    """Frames that cover ``seconds``, the last one perhaps in part."""
    return -(-seconds.numerator * FRAME_RATE // seconds.denominator)


def window_indices(frames: int, tokens: int, window: int) -> NDArray[np.int64]:
    """``[frames, window]``: the vectors, of ``tokens``, that frame t is drawn from.

    Vector i is made of the sound from 20 i to 20 i + 25 ms, so an even window of vectors around 2 t - 1 and 2 t has its
    middle at 40 t + 2.5 ms, which is when frame t appears. Beyond the ends the first and the last vector are repeated.
    """
    first = TOKENS_A_FRAME * np.arange(frames)[:, None] - window // 2
    indices: NDArray[np.int64] = np.clip(first + np.arange(window), 0, tokens - 1)
    return indices


def pendulum(frames: int, pictures: int) -> NDArray[np.int64]:
    """``[frames]``: which of ``pictures`` is the face of frame t: forwards, backwards, forwards, without a jump."""
    period = max(2 * pictures - 2, 1)
    place = np.arange(frames) % period
    return np.where(place < pictures, place, period - place)
