"""Frames in the form that the two visual encoders expect.

Frames are kept in 8 bits, which take a quarter of the memory, and become floats in -1..1 only for the batch that is run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from images.foley.media.resample import resize_short_side

IMAGE_SIDE = 512
SYNC_SIDE = 224


def scale_image(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[height, width, 3]`` to ``[3, 512, 512]``. The aspect ratio is not kept, as in the image encoder's training."""
    picture = PIL.Image.fromarray(frame).resize((IMAGE_SIDE, IMAGE_SIDE), PIL.Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def scale_sync(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[height, width, 3]`` to ``[3, 224, 224]``: the short side becomes 224, the long one is cropped at its center."""
    return resize_short_side(frame, SYNC_SIDE)


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
