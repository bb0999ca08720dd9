"""A synthetic voice and a synthetic face: the files of the warm-up request."""

from __future__ import annotations

import io
import wave
from fractions import Fraction

import av
import numpy as np

from images.heygem.media.faces import Picture
from images.heygem.media.sizes import HEARD_RATE, SIDE

_PITCH = 140.0


def speak(seconds: float) -> bytes:
    """A vowel that rises and falls three times a second: 16-bit wav, 16 kHz."""
    time = np.arange(round(seconds * HEARD_RATE)) / HEARD_RATE
    tone = sum(np.sin(2 * np.pi * _PITCH * n * time) / n for n in range(1, 12))
    samples = np.rint(6000 * tone * (1 - np.cos(6 * np.pi * time)) / 2).astype("<i2")
    body = io.BytesIO()
    with wave.open(body, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HEARD_RATE)
        file.writeframes(samples.tobytes())
    return body.getvalue()


def draw_face() -> bytes:
    """An oval with two eyes and a mouth: png, 256 x 256, so that nothing is scaled."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    picture = np.stack([90 + 60 * y, 110 - 40 * x, 150 + 50 * x], axis=-1)
    picture[(x / 0.3) ** 2 + (y / 0.4) ** 2 < 1] = (225, 180, 150)
    picture[((np.abs(x) - 0.12) / 0.04) ** 2 + ((y + 0.1) / 0.03) ** 2 < 1] = (40, 50, 60)
    picture[(x / 0.1) ** 2 + ((y - 0.2) / 0.03) ** 2 < 1] = (170, 60, 70)
    return encode_png(picture.astype(np.uint8))


def encode_png(picture: Picture) -> bytes:
    """``[height, width, 3]`` as a png file."""
    height, width, _ = picture.shape
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "rgb24", Fraction(1)
    packets = encoder.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")) + encoder.encode(None)
    return b"".join(bytes(packet) for packet in packets)
