"""The face: a picture, or a video's pictures at the answer's frame rate, each a square of 256 pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from entrypoints.contract import BadRequest, Cancellation, Cancelled
from images.heygem.media import LARGEST, PICTURES, allowed_codecs, open_media, strict_decoder
from images.heygem.timing import FRAME_RATE

FIELD = "face"
SIDE = 256
SMALLEST = 64
"""Pixels of a side of what is sent."""
MOST_DECODED = 240 * 60
"""Frames of a video that are looked at: one that says 100,000 frames a second would hold the machine otherwise."""
_HALF_TICK = 1e-4

Picture = NDArray[np.uint8]
T = TypeVar("T")


def read_face(data: bytes, count: int, cancelled: Cancellation, field: str = FIELD) -> Iterator[Picture]:
    """One picture ``[256, 256, 3]`` of an image, up to ``count`` of a video.

    Raises BadRequest, naming ``field``, for what is no picture, damaged or too small; Cancelled.
    """
    for frame in every_tick(_decode(data, cancelled, field), count):
        yield square(frame)


def every_tick(frames: Iterable[tuple[float, T]], count: int) -> Iterator[T]:
    """Of frames with their times in seconds: the newest at each 25th of a second since the first, ``count`` at most. The
    last one comes once: how long it lasts is not told."""
    taken, start = 0, 0.0
    newest: T | None = None
    for time, frame in frames:
        if newest is None:
            start = time
        while newest is not None and taken < count and taken / FRAME_RATE < time - start - _HALF_TICK:
            yield newest
            taken += 1
        if taken == count:
            return
        newest = frame
    if newest is not None:
        yield newest


def square(frame: VideoFrame) -> Picture:
    """The middle of a frame, upright: ``[256, 256, 3]``."""
    upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    height, width = upright.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = np.ascontiguousarray(upright[top : top + side, left : left + side])
    if side == SIDE:
        return middle
    scaled = VideoFrame.from_ndarray(middle, format="rgb24").reformat(SIDE, SIDE, interpolation="BICUBIC")
    picture: Picture = scaled.to_ndarray()
    return picture


def _decode(data: bytes, cancelled: Cancellation, field: str) -> Iterator[tuple[float, VideoFrame]]:
    with open_media(data, PICTURES, field) as container:
        if not container.streams.video:
            raise BadRequest("the file has no picture in it", field=field)
        stream = container.streams.video[0]
        if strict_decoder(stream, field).name not in allowed_codecs(data):
            raise BadRequest("a png within another file is not read: send the png, or a film of h264", field=field)
        if not 0 < stream.width * stream.height <= LARGEST:  # libav gives no size to what is over max_pixels
            raise BadRequest(f"the picture has over {LARGEST} pixels, or its header is damaged", field=field)
        number = 0
        for number, frame in enumerate(container.decode(stream), start=1):
            if cancelled():
                raise Cancelled
            _check_frame(frame, number, field)
            yield frame.time, frame
        if not number:
            raise BadRequest("the film has no frame in it", field=field)


def _check_frame(frame: VideoFrame, number: int, field: str) -> None:
    if min(frame.width, frame.height) < SMALLEST:
        raise BadRequest(
            f"the face is {frame.width}x{frame.height}: {SMALLEST} pixels a side at least, {SIDE} are best", field=field
        )
    if frame.is_corrupt or frame.time is None:
        raise BadRequest(f"the video is damaged at frame {number}", field=field)
    if number > MOST_DECODED:
        raise BadRequest(f"the video has over {MOST_DECODED} frames in 60 s: send fewer a second", field=field)
