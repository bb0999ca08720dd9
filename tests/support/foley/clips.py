"""Real clips, made on the spot."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

_FAST = {
    "libx264": {"preset": "ultrafast"},
    "libvpx": {"deadline": "realtime", "cpu-used": "16"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


@dataclass(frozen=True)
class Clip:
    """What a clip is like. ``times`` are in milliseconds, one for each frame."""

    container: str = "mp4"
    codec: str = "libx264"
    times: Sequence[int] = range(0, 1000, 40)
    size: tuple[int, int] = (96, 64)
    sound: bool = False


def picture(index: int, height: int, width: int) -> NDArray[np.uint8]:
    """The frames of the golden vectors: a slope, a curve and a chequerboard that move with ``index``."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red = (3 * x + 2 * y + 17 * index) % 256
    green = (x * x // 7 + 5 * y + 29 * index) % 256
    blue = 200 * ((x // 9 + y // 11 + index) % 2) + 20
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def make_clip(clip: Clip) -> bytes:
    # SVT-AV1 gives the thread that encodes the highest real-time priority if it may, and leaves it there.
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        return _encode(clip)
    finally:
        os.sched_setscheduler(0, policy, priority)


def _encode(clip: Clip) -> bytes:
    body = io.BytesIO()
    with av.open(body, "w", format=clip.container) as target:
        stream = target.add_stream(clip.codec, rate=25)
        stream.width, stream.height = clip.size
        stream.pix_fmt = "yuv420p"
        stream.options = _FAST.get(clip.codec, {})
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if clip.sound:
            _add_tone(target, len(clip.times) * 0.04)
        for index, time in enumerate(clip.times):
            frame = av.VideoFrame.from_ndarray(picture(index, clip.size[1], clip.size[0]), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return body.getvalue()


def make_sound_file() -> bytes:
    """An mp4 without pictures."""
    body = io.BytesIO()
    with av.open(body, "w", format="mp4") as target:
        _add_tone(target, 1.0)
    return body.getvalue()


def _add_tone(target: av.container.OutputContainer, seconds: float) -> None:
    stream = target.add_stream("libopus" if target.format.name == "webm" else "aac", rate=48000, layout="mono")
    tone = np.sin(np.arange(int(seconds * 48000)) / 20).astype(np.float32)[None] / 2
    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
    target.mux(stream.encode(frame))
    target.mux(stream.encode(None))
