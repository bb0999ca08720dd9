"""The answer as an mp4: H.264 pictures at 25 a second, and the voice in AAC."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av import AudioFrame, AudioStream, Packet, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from images.heygem.media.sizes import SIDE, SOUND_RATE
from images.heygem.media.timing import FRAME_RATE

_SAMPLES_A_FRAME = SOUND_RATE // FRAME_RATE
_BIT_RATE = 96_000
_QUALITY = {"crf": "18", "preset": "veryfast"}


def write_movie(batches: Iterable[NDArray[np.float32]], sound: NDArray[np.float32]) -> bytes:
    """``batches`` are pictures ``[n, 3, 256, 256]`` in 0..1, one after the other, ``sound`` is one channel.

    The sound of a picture goes in right before it, so that neither stream waits in memory for the other one.
    """
    body = io.BytesIO()
    with av.open(body, "w", format="mp4") as target:
        pictures, voice = _add_pictures(target), target.add_stream("aac", rate=SOUND_RATE, layout="mono")
        voice.bit_rate = _BIT_RATE
        for number, levels in enumerate(_levels(batches)):
            target.mux(_encode_sound(voice, sound, number))
            target.mux(pictures.encode(VideoFrame.from_ndarray(levels, format="rgb24")))
        target.mux(voice.encode(None))
        target.mux(pictures.encode(None))
    return body.getvalue()


def _add_pictures(target: av.container.OutputContainer) -> VideoStream:
    stream: VideoStream = target.add_stream("libx264", rate=FRAME_RATE, options=_QUALITY)
    stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
    return stream


def _levels(batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.uint8]]:
    for batch in batches:
        yield from np.ascontiguousarray(np.rint(batch * 255).astype(np.uint8).transpose(0, 2, 3, 1))


def _encode_sound(stream: AudioStream, sound: NDArray[np.float32], number: int) -> list[Packet]:
    start = number * _SAMPLES_A_FRAME
    part = np.ascontiguousarray(sound[None, start : start + _SAMPLES_A_FRAME])
    if not part.size:
        return []
    frame = AudioFrame.from_ndarray(part, format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = SOUND_RATE, Fraction(1, SOUND_RATE), start
    packets: list[Packet] = stream.encode(frame)
    return packets
