"""The face: a picture, or a video's pictures at the answer's frame rate, each a square of 256 pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from entrypoints.contract import BadRequest
from images.heygem.media.libav import LARGEST, PICTURES, allowed_codecs, open_media, strict_decoder
from images.heygem.media.sizes import FACE, SIDE
from images.heygem.media.timing import FRAME_RATE

SMALLEST = 64
"""Smallest number of pixels of a side of the sent picture."""
MOST_DECODED = 240 * 60
"""Largest number of decoded frames: a video that claims 100,000 frames a second would otherwise block the machine."""
_HALF_TICK = 1e-4

Picture = NDArray[np.uint8]
T = TypeVar("T")


def read_face(data: bytes, count: int, field: str = FACE) -> Iterator[Picture]:
    """One picture ``[256, 256, 3]`` of an image, up to ``count`` of a video.

    Raises BadRequest, naming ``field``, if the file is not a picture, or is damaged or too small.
    """
    for frame in every_tick(_decode(data, field), count):
        yield square(frame)


def every_tick(frames: Iterable[tuple[float, T]], count: int) -> Iterator[T]:
    """Select frames, which come with their times in seconds: the newest one at each 25th of a second since the first, ``count``
    at most. The last frame is selected once, since its duration is not known."""
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


def _decode(data: bytes, field: str) -> Iterator[tuple[float, VideoFrame]]:
    with open_media(data, PICTURES, field) as container:
        if not container.streams.video:
            raise BadRequest("the file has no picture", field=field)
        stream = container.streams.video[0]
        if strict_decoder(stream, field).name not in allowed_codecs(data):
            raise BadRequest("a png inside another file is not supported: send the png, or an h264 video", field=field)
        if not 0 < stream.width * stream.height <= LARGEST:  # libav gives no size to what is over max_pixels
            raise BadRequest(f"the picture has over {LARGEST} pixels, or its header is damaged", field=field)
        number = 0
        for number, frame in enumerate(container.decode(stream), start=1):
            _check_frame(frame, number, field)
            yield frame.time, frame
        if not number:
            raise BadRequest("the video has no frames", field=field)


def _check_frame(frame: VideoFrame, number: int, field: str) -> None:
    if min(frame.width, frame.height) < SMALLEST:
        raise BadRequest(
            f"the face is {frame.width}x{frame.height}: send at least {SMALLEST} pixels a side, best {SIDE}",
            field=field,
        )
    if frame.is_corrupt or frame.time is None:
        raise BadRequest(f"the video is damaged at frame {number}", field=field)
    if number > MOST_DECODED:
        raise BadRequest(f"the video has over {MOST_DECODED} frames in 60 s: send fewer frames a second", field=field)
