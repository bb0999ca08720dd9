"""The two families of container files that are supported: recognized by their first bytes, and checked to be complete.

libav guesses among hundreds of formats, and some of those (playlists) open other files and addresses when they are
read. So the format is recognized here, and libav gets its name and tries no other.
"""

from __future__ import annotations

from typing import Literal

from entrypoints.contract import BadRequest

Format = Literal["mov", "matroska"]
"""libav's names: ``mov`` reads mp4 too, ``matroska`` webm."""

_MOV_STARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_MOV_CONTENT = (b"moov", b"mdat", b"moof")
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"


def find_format(data: bytes, field: str) -> Format:
    """The format of a complete file. Raises BadRequest, naming ``field``, for a file of another kind or a truncated one."""
    if not data:
        raise BadRequest("the file is empty: send an mp4, mov, webm or mkv video", field=field)
    if data[4:8] in _MOV_STARTS:
        _check_whole(_end_of_mov(data), data, field)
        return "mov"
    if data.startswith(_EBML):
        _check_whole(_end_of_matroska(data), data, field)
        return "matroska"
    raise BadRequest(
        "the file is not a video that this model supports: send an mp4, mov, webm or mkv file", field=field
    )


def _check_whole(end: int, data: bytes, field: str) -> None:
    if end > len(data):
        raise BadRequest(
            f"the video is cut off: its container has {end} bytes, but {len(data)} arrived; send the whole file",
            field=field,
        )


def _end_of_mov(data: bytes) -> int:
    """The end of the last top-level box that is needed (ISO/IEC 14496-12, 4.2)."""
    start, end = 0, len(data)
    while start + 8 <= len(data):
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if size == 1:
            size = int.from_bytes(data[start + 8 : start + 16], "big")
        if size < 8:  # zero: to the end of the file; less than a header: not a box, libav decides
            break
        start += size
        if kind in _MOV_CONTENT:
            end = max(end, start)
    return end


def _end_of_matroska(data: bytes) -> int:
    """The end of the segment (RFC 8794, 6; RFC 9559, 5.1); any if its size is unknown, as in streams of recorders."""
    header = _read_size(data, len(_EBML))
    if header is None:
        return len(data)
    start = header[0] + header[1]
    segment = _read_size(data, start + len(_SEGMENT))
    if data[start : start + len(_SEGMENT)] != _SEGMENT or segment is None:
        return len(data)
    return max(len(data), segment[0] + segment[1])


def _read_size(data: bytes, start: int) -> tuple[int, int] | None:
    """The start of an element's content and its size; None if the size is unknown or missing."""
    if start >= len(data) or data[start] == 0:
        return None
    length = 9 - data[start].bit_length()
    bits = 7 * length
    value = int.from_bytes(data[start : start + length], "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else (start + length, value)
