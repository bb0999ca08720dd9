"""Small sample inputs for checkpoints without any: an image and a sound."""

from __future__ import annotations

import io
import math
import struct
import wave
import zlib

_SAMPLE_RATE, _SECONDS = 16_000, 1.5


def make_png(width: int = 240, height: int = 180) -> bytes:
    """A PNG: a bright disc on a gradient."""
    rows = b"".join(b"\0" + b"".join(_pixel(x / width, y / height) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits for each of red, green and blue
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")


def _pixel(x: float, y: float) -> bytes:
    if (x - 0.4) ** 2 + (y - 0.5) ** 2 < 0.06:
        return bytes((250, 220, 60))
    return bytes((int(255 * x), int(255 * y), 128))


def _chunk(kind: bytes, content: bytes) -> bytes:
    """The PNG specification, section 5.3."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_wav() -> bytes:
    """A WAV of 16 kHz and one channel: a rising tone."""
    count = int(_SAMPLE_RATE * _SECONDS)
    cycles = (150 * (n / _SAMPLE_RATE) + 200 * (n / _SAMPLE_RATE) ** 2 for n in range(count))
    data = b"".join(struct.pack("<h", int(8000 * math.sin(2 * math.pi * cycle))) for cycle in cycles)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLE_RATE)
        sound.writeframes(data)
    return file.getvalue()
