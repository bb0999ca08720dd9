"""Opens the files of a request with libav.

libav guesses among hundreds of formats, and some of those (playlists) open other files and addresses when they are
read. Only the listed formats may be opened.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av import AudioStream, CodecContext
from av.container import InputContainer
from av.video.stream import VideoStream

from entrypoints.contract import BadRequest

SOUNDS = "wav,w64,aiff,mp3,flac,ogg,mov,matroska"
PICTURES = "jpeg_pipe,png_pipe,webp_pipe,mov,matroska,avi"
"""libav's names: ``mov`` reads mp4 and m4a too, ``matroska`` webm."""
LARGEST = 50_000_000
"""Pixels of a picture."""
STRICT = {"err_detect": "explode", "max_pixels": str(LARGEST)}
"""Options of a decoder: damage is an error, and is not concealed."""
_PACKED_HEADER = b"dcomzlib"
"""The mark of a QuickTime film's compressed header (QuickTime File Format, "Compressed Movie Resources")."""
_TAG = re.compile(rb"ID3[^\xff][^\xff](.)([\0-\x7f]{4})", re.DOTALL)
"""Of ID3v2, 3.1: flags and length, seven bits a byte."""
_TAG_CHUNK = re.compile(rb"(?:id3|ID3) (?=.{4}ID3)", re.DOTALL)
"""Of a wav's or an aiff's chunks, the one that holds such a tag."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PICTURE_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}


@contextmanager
def open_media(data: bytes, formats: str, field: str) -> Iterator[InputContainer]:
    """The container of a file. Raises BadRequest, naming ``field``, if it cannot be read, inside the block too."""
    if not data:
        raise BadRequest("the file is empty", field=field)
    if _PACKED_HEADER in data:  # libav would unpack it, whatever its size
        raise BadRequest("the video's header is compressed, which is not supported: remux the video", field=field)
    options = {
        "format_whitelist": formats,
        "codec_whitelist": ",".join(allowed_codecs(data)),
        "max_pixels": str(LARGEST),
    }
    try:
        data = only_picture(data)
        with av.open(io.BytesIO(data), options=options, metadata_errors="replace") as container:
            yield container
    except MemoryError:  # one of libav's errors, too; not the file's
        raise
    # ValueError: libav refuses a format, or a stream that changes its form in the middle
    except (av.FFmpegError, ValueError) as error:
        raise BadRequest(
            f"the file is damaged, or of an unsupported kind (supported: {formats}): {error}", field=field
        ) from error


def strict_decoder(stream: AudioStream | VideoStream, field: str) -> CodecContext:
    """A stream's decoder, made strict. Raises BadRequest if libav has none for it."""
    decoder: CodecContext | None = stream.codec_context
    if decoder is None:
        raise BadRequest("the file is damaged, or its codec is not supported", field=field)
    decoder.options = STRICT
    return decoder


def allowed_codecs(data: bytes) -> set[str]:
    """libav's names of the codecs that may read a file: png only for a png file, which ``only_picture`` has seen, not for
    a film's frames or a sound's cover."""
    return set(av.codecs_available) - (set() if data.startswith(_PNG) else {"png", "apng"})


def without_tags(data: bytes) -> bytes:
    """A sound without its ID3 tags, which libav unpacks whatever their size, or with a name of them that it passes over."""
    start = 0
    while tag := _TAG.match(data, start):
        length = sum(byte << 7 * place for place, byte in enumerate(reversed(tag[2])))
        start = tag.end() + length + (10 if tag[1][0] & 0x10 else 0)  # the flag: a footer as long as the header
    kept = data[start:]
    return _TAG_CHUNK.sub(b"JUNK", kept) if kept.startswith((b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")) else kept


def only_picture(data: bytes) -> bytes:
    """A png without its texts and color profiles, which libav unpacks whatever their size; any other file unchanged.

    Raises ValueError for a png whose chunks do not follow each other up to its end.
    """
    if not data.startswith(_PNG):
        return data
    kept, place, kind = bytearray(_PNG), len(_PNG), b""
    while kind != b"IEND":
        if place + 12 > len(data):
            raise ValueError("the png has no end")
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length  # length, kind, what it holds, check sum
        if end > len(data):
            raise ValueError(f"the png is cut off at byte {place}")
        if kind in _PICTURE_CHUNKS:
            kept += memoryview(data)[place:end]
        place = end
    return bytes(kept)
