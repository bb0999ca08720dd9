"""A synthetic clip: the video of the warm-up request."""

from __future__ import annotations

import io

import av
import numpy as np
from numpy.typing import NDArray

RATE = 25
WIDTH, HEIGHT = 160, 120
# x264's vector code decides differently from run to run (seen with PyAV 18.1: twenty clips, fifteen different files).
ENCODER = {"threads": "1", "crf": "23", "preset": "fast", "x264-params": "asm=0"}


def make_clip(frames: int = 25) -> bytes:
    """An mp4 of ``frames`` frames at 25 a second, H.264: the same bytes each time."""
    body = io.BytesIO()
    with av.open(body, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw_frame(number), format="rgb24")))
        container.mux(stream.encode(None))
    return body.getvalue()


def draw_frame(number: int) -> NDArray[np.uint8]:
    """A disc that swings over slowly moving stripes: ``[height, width, 3]``."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    stripes = 96 + 48 * np.sin((x + y + 3 * number) / 14.0)
    centre = WIDTH / 2 + 50 * np.sin(number * 2 * np.pi / RATE)
    disc = (x - centre) ** 2 + (y - HEIGHT / 2) ** 2 < 24**2
    picture = np.stack((stripes, np.where(disc, 230.0, 255.0 - stripes), np.where(disc, 40.0, 0.6 * stripes)), axis=-1)
    return picture.astype(np.uint8)
