"""Reads a video from bytes: checks the file, and decodes its frames up to the longest time that the model sees."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from entrypoints.contract import BadRequest
from images.foley.media.containers import find_format
from images.foley.media.frames import LONGEST

FIELD = "video"
SLACK = 0.1
"""Seconds by which a clip may be longer than ``LONGEST``: containers round, and the last frame has a duration too."""
LARGEST = 4096 * 2304
"""Largest number of pixels of a frame."""
SMALLEST = 16
"""Pixels of a side."""
THREADS = 4
"""Of the decoder, at most: each holds a frame."""
MOST_FRAMES = 240 * int(LONGEST)
"""Largest number of decoded frames: a clip that claims 100,000 frames a second would otherwise block the machine."""

_PACKED_HEADER = b"dcomzlib"
"""The mark of a QuickTime film's compressed header (QuickTime File Format, "Compressed Movie Resources")."""

Frame = tuple[float, VideoFrame]


@contextmanager
def open_video(data: bytes) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream. Raises BadRequest for a file that cannot be read, inside the block too."""
    kind = find_format(data, FIELD)
    if _PACKED_HEADER in data:  # libav would unpack it, whatever its size
        raise BadRequest("the video's header is compressed, which is not supported: remux the video", field=FIELD)
    try:
        # The limit reaches the decoders that libav opens to look into the file: one frame could take a gigabyte there.
        limits = {"max_pixels": str(LARGEST)}
        with av.open(io.BytesIO(data), format=kind, options=limits, metadata_errors="replace") as container:
            if not container.streams.video:
                raise BadRequest("the file has no video stream, only sound or data", field=FIELD)
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise BadRequest("the video is damaged, or its codec is not supported", field=FIELD)
            yield container, stream
    except MemoryError:  # one of libav's errors, too; not the video's
        raise
    except av.FFmpegError as error:
        raise BadRequest(f"the video is damaged and cannot be decoded: {error.strerror}", field=FIELD) from error


def check_length(data: bytes, *, trim: bool) -> None:
    """Raises BadRequest if the clip is too long or has too many frames. Reads the packets and decodes nothing.

    With ``trim`` only the part that the model sees counts.
    """
    end, count = 0.0, 0
    with open_video(data) as (container, stream):
        for packet in container.demux(stream):
            start = float(packet.pts * packet.time_base) if packet.pts is not None else end
            if trim and start > LONGEST:
                break
            end = max(end, start + float((packet.duration or 0) * packet.time_base))
            count += 1
    if end > LONGEST + SLACK and not trim:
        raise BadRequest(
            f"the video is {end:.2f} s long, but the model accepts {LONGEST:g} s at most: send a shorter one, "
            f"or trim=yes to use its first {LONGEST:g} s",
            field=FIELD,
        )
    if count > MOST_FRAMES:
        raise BadRequest(
            f"the video has over {MOST_FRAMES} frames in {LONGEST:g} s: send fewer frames a second", field=FIELD
        )


def read_frames(data: bytes) -> Iterator[Frame]:
    """Times in seconds and frames, in presentation order, up to ``LONGEST``; none is converted yet.

    Raises BadRequest at the first frame that is not as it was encoded.
    """
    time = 0.0
    with open_video(data) as (container, stream):
        check_size(stream.width, stream.height)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(THREADS, len(os.sched_getaffinity(0)))
        for frame in container.decode(stream):
            time = _check_frame(frame, time)
            if time > LONGEST:
                return
            yield time, frame


def _check_frame(frame: VideoFrame, previous: float) -> float:
    """The frame's time."""
    check_size(frame.width, frame.height)
    if frame.is_corrupt:
        raise BadRequest(f"the video is damaged after {previous:.2f} s: a frame cannot be decoded", field=FIELD)
    if frame.time is None:
        raise BadRequest(f"the video has no timestamps after {previous:.2f} s: remux the video", field=FIELD)
    time: float = frame.time
    return time


def check_size(width: int, height: int) -> None:
    """Raises BadRequest if a frame is too small or too large."""
    if min(width, height) < SMALLEST or width * height > LARGEST:
        shown = f"{width}x{height}" if width and height else "larger, or of no size"  # libav stopped at max_pixels
        raise BadRequest(
            f"the video is {shown}: the model accepts at most {LARGEST} pixels (4096x2304), with sides of {SMALLEST} or more",
            field=FIELD,
        )


def to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """``[height, width, 3]``, by the decoder library's default conversion, with which the model was trained."""
    rgb: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return rgb
