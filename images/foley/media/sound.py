"""The sound as a file of its own: mono 48 kHz, 32-bit floats, as the model generates it."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

RATE = 48000
WAV = "audio/wav"

_IEEE_FLOAT = 3


def write_wav(samples: NDArray[np.float32]) -> bytes:
    """A RIFF file of ``samples [n]``. The standard library's ``wave`` writes integers only.

    Formats other than integers need the extension's size in ``fmt`` and a ``fact`` chunk with the number of samples
    (Microsoft, "Multimedia Data Standards Update", 1994).
    """
    data = np.ascontiguousarray(samples, dtype="<f4").tobytes()
    size = samples.dtype.itemsize
    chunks = (
        _chunk(b"fmt ", struct.pack("<HHIIHHH", _IEEE_FLOAT, 1, RATE, RATE * size, size, 8 * size, 0)),
        _chunk(b"fact", struct.pack("<I", len(samples))),
        _chunk(b"data", data),
    )
    return _chunk(b"RIFF", b"WAVE" + b"".join(chunks))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
