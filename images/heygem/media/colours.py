"""The answer as numbers: the mean colors of each frame, for programs that compare two answers."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from images.heygem.media.sizes import SIDE
from images.heygem.media.timing import FRAME_RATE

JSON = "application/json"
GRID = 8
_TILE = SIDE // GRID


def write_colours(batches: Iterable[NDArray[np.float32]]) -> bytes:
    """The mean colors of pictures ``[n, 3, 256, 256]`` in 0..1: ``frames[frame][color][row][column]``, each the mean of 32 x 32
    pixels before they were encoded."""
    frames = [means.tolist() for batch in batches for means in mean_colours(batch)]
    return json.dumps({"frame_rate": FRAME_RATE, "frames": frames}, separators=(",", ":")).encode()


def mean_colours(batch: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[n, 3, 256, 256]`` to ``[n, 3, 8, 8]``, to six decimal places."""
    tiles = batch.reshape(len(batch), 3, GRID, _TILE, GRID, _TILE)
    means: NDArray[np.float64] = tiles.mean(axis=(3, 5), dtype=np.float64).round(6)
    return means
