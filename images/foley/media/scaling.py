"""Frames in the sizes of the two visual encoders, in 8 bits."""

from __future__ import annotations

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
