"""The clip with its sound: the video's packets are copied unchanged, the generated sound is encoded beside them."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av import AudioStream, Packet
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from images.foley.media.frames import LONGEST
from images.foley.media.sound import RATE
from images.foley.media.video import SLACK, open_video

_BIT_RATE = 192_000


class Wrapping(NamedTuple):
    """A container for the answer and the sound's encoding in it."""

    format: str
    audio: str
    media_type: str


_MP4 = Wrapping("mp4", "aac", "video/mp4")
_WEBM = Wrapping("webm", "libopus", "video/webm")
_MATROSKA = Wrapping("matroska", "aac", "video/x-matroska")
_WEBM_CODECS = ("vp8", "vp9", "av1")
_MP4_CODECS = ("h264", "hevc", "av1", "vp9", "mpeg4")


def choose_wrapping(source: str, codec: str) -> Wrapping:
    """The container of the answer for a video of ``codec`` from the container ``source`` (libav's names of both).

    mp4 with AAC, as the model's authors make it. A webm stays a webm, with Opus, since webm does not allow AAC. Everything else
    goes into Matroska, which supports every codec.
    """
    if "matroska" in source and codec in _WEBM_CODECS:
        return _WEBM
    return _MP4 if codec in _MP4_CODECS else _MATROSKA


def add_sound(video: bytes, samples: NDArray[np.float32]) -> tuple[bytes, str]:
    """The first video stream of ``video``, up to the longest time the model sees, with ``samples [n]`` on two channels.

    Returns the file and its media type. The file's own sound is left out. Raises BadRequest as ``open_video`` does.
    """
    body = io.BytesIO()
    with open_video(video) as (source, stream):
        wrapping = choose_wrapping(source.format.name, stream.codec_context.codec.canonical_name)
        with av.open(body, "w", format=wrapping.format) as target:
            copy = target.add_stream_from_template(stream, opaque=True)  # no codec: packets only
            sound = target.add_stream(wrapping.audio, rate=RATE, layout="stereo", bit_rate=_BIT_RATE)
            packets = _copy_packets(source, stream, copy), _encode(sound, samples)
            # In order of time, or the writer keeps the whole of one stream in memory until the other one comes.
            for packet in heapq.merge(*packets, key=_decoding_time):
                target.mux(packet)
    return body.getvalue(), wrapping.media_type


def _copy_packets(source: InputContainer, stream: VideoStream, copy: VideoStream) -> Iterator[Packet]:
    for packet in source.demux(stream):
        if packet.size == 0:
            continue  # libav's sign that the stream has ended
        if _decoding_time(packet) > LONGEST + SLACK:
            return
        packet.stream = copy
        yield packet


def _encode(stream: AudioStream, samples: NDArray[np.float32]) -> Iterator[Packet]:
    """Both channels get the samples unchanged: libav's conversion from one channel to two may make them quieter."""
    frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), format="fltp", layout="stereo")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    yield from stream.encode(frame)
    yield from stream.encode(None)


def _decoding_time(packet: Packet) -> float:
    stamp = packet.pts if packet.dts is None else packet.dts
    return 0.0 if stamp is None else float(stamp * packet.time_base)
