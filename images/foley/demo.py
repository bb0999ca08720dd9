"""A request for the demonstration: a clip of a bouncing ball, drawn here, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np

SECONDS, RATE, WIDTH, HEIGHT = 3.0, 25, 480, 270


def write_request(folder: Path) -> Mapping[str, str | Path]:
    """Write the clip into a folder. Returns the fields of a ``POST /generate``."""
    clip = folder / "bouncing-ball.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(int(SECONDS * RATE)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_draw(index / RATE), format="rgb24")))
        container.mux(stream.encode())
    return {"video": clip, "prompt": "a rubber ball bounces on a wooden floor"}


def _draw(second: float) -> np.ndarray:
    """One frame, uint8 [HEIGHT, WIDTH, 3]: floor, wall and a ball that loses a little height with each bounce."""
    frame = np.full((HEIGHT, WIDTH, 3), (214, 226, 236), np.uint8)
    frame[HEIGHT - 40 :] = (146, 104, 66)
    bounce, within = divmod(second, 0.75)
    height = 170 * 0.8**bounce * (1 - (within / 0.375 - 1) ** 2)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ball = (x - 60 - 120 * second) ** 2 + (y - (HEIGHT - 62 - height)) ** 2 < 22**2
    frame[ball] = (200, 48, 40)
    return frame
