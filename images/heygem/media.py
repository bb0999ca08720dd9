"""Opening what was sent, by libav.

libav guesses among hundreds of formats, and some of those (playlists) open other files and addresses when they are
read. Only the formats that are named may be opened.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer

from entrypoints.contract import BadRequest

SOUNDS = "wav,w64,aiff,mp3,aac,flac,ogg,mov,matroska"
PICTURES = "jpeg_pipe,png_pipe,webp_pipe,mov,matroska,avi"
"""libav's names: ``mov`` reads mp4 and m4a too, ``matroska`` webm."""
LARGEST = 50_000_000
"""Pixels of a picture."""
STRICT = {"err_detect": "explode", "max_pixels": str(LARGEST)}
"""Of a decoder: damage is an error and not a guess."""


@contextmanager
def open_media(data: bytes, formats: str, field: str) -> Iterator[InputContainer]:
    """The container of a file. Raises BadRequest, naming ``field``, for what cannot be read, in the block too."""
    if not data:
        raise BadRequest("the file is empty", field=field)
    options = {"format_whitelist": formats, "max_pixels": str(LARGEST)}
    try:
        with av.open(io.BytesIO(data), options=options) as container:
            yield container
    # ValueError: libav's refusal of a format, and of a stream that changes its form half-way
    except (av.FFmpegError, ValueError) as error:
        raise BadRequest(
            f"the file is damaged, or none of the kinds that are read ({formats}): {error}", field=field
        ) from error
