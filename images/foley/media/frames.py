"""The frames of a clip that the model sees, and the length of the sound for them.

The rules are HunyuanVideo-Foley's: two clocks, 8 fps for the image encoder and 25 fps for the synchronization encoder,
windows of 16 frames over the latter, and a latent of 50 steps a second.
"""

from __future__ import annotations

LONGEST = 15.0
"""Seconds: frames after this time are ignored."""
IMAGE_RATE = 8.0
SYNC_RATE = 25.0
LATENT_RATE = 50
WINDOW = 16
STRIDE = 8


class Clock:
    """Picks frames at ``rate`` a second from a source of any rate, as frames arrive in presentation order."""

    def __init__(self, rate: float) -> None:
        self._step = 1.0 / rate
        self._target = 0.0

    def take(self, time: float) -> int:
        """The number of times that the frame at ``time`` seconds is used: each target uses the first frame at or after it.

        The clock is a running sum, never ``k / rate``: its rounding decides which frame is used, and the model was trained
        with the sum (a 25 fps clip of 125 frames gives 124; the sixth frame is left out).
        """
        if not 0.0 <= time <= LONGEST:
            return 0
        count = 0
        while self._target <= time:
            self._target += self._step
            count += 1
        return count


def count_windows(frames: int) -> int:
    """Whole windows in ``frames`` frames at 25 fps; frames beyond the last whole window are dropped."""
    return max(0, (frames - WINDOW) // STRIDE + 1)


def window_bounds(frames: int) -> list[tuple[int, int]]:
    """First frame and the one after the last, for each window."""
    return [(start, start + WINDOW) for start in range(0, count_windows(frames) * STRIDE, STRIDE)]


def latent_length(frames: int) -> int:
    """Latent steps for ``frames`` frames at 25 fps.

    Computed in doubles on purpose: for 29, 57, 58 and some other counts the quotient is slightly too small, and the result is
    ``2 * frames - 1``, which is the length that the published model generates.
    """
    return int((frames / SYNC_RATE) * LATENT_RATE)
