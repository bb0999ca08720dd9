"""What reads the files of a request: called in a process of its own, which is killed if a file takes too long or too much.

The module imports the decoders. `model.py` names its functions, and imports them as little as it imports the decoders.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from images.heygem.media import archive, faces, voice
from images.heygem.media.timing import Voice


def decode_voice(data: bytes) -> Voice:
    """Raises BadRequest as `read_voice` does."""
    return voice.read_voice(data)


def decode_face(data: bytes, count: int, size: int, field: str) -> Iterator[NDArray[np.uint8]]:
    """Up to ``count`` pictures, ``size`` at a time: ``[n, 256, 256, 3]``. Raises BadRequest as `read_face` does."""
    pictures = faces.read_face(data, count, field)
    while some := list(islice(pictures, size)):
        yield np.stack(some)


def decode_archive(data: bytes) -> dict[str, bytes]:
    """Raises BadRequest as `read_archive` does."""
    return archive.read_archive(data)
