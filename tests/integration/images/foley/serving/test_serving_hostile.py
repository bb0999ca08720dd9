"""Clips that would take all time or memory: answered within the limits, by the processes that decode for the image."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import PIL.Image
import pytest

from entrypoints.contract import BadRequest, decode_apart
from images.foley import model
from tests.support.foley.clips import Clip, make_clip

GOOD = make_clip(Clip())


def never() -> bool:
    return False


def jpeg(side: int) -> bytes:
    body = io.BytesIO()
    PIL.Image.new("RGB", (side, side), (9, 99, 199)).save(body, "JPEG")
    return body.getvalue()


def clip_of_sizes(*sides: int) -> bytes:
    """A clip whose frames have other sizes than its header says, each a jpeg."""
    body = io.BytesIO()
    with av.open(body, "w", format="matroska") as target:
        stream = target.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = sides[0], sides[0], "yuvj420p"
        target.start_encoding()
        for number, side in enumerate(sides):
            packet = av.Packet(jpeg(side))
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = number
            target.mux(packet)
    return body.getvalue()


def endless_clip(times: int) -> bytes:
    """A webm of unknown size, whose first cluster comes again and again."""
    data = make_clip(Clip("webm", "libvpx"))
    cluster, cues = data.index(b"\x1f\x43\xb6\x75"), data.index(b"\x1c\x53\xbb\x6b")
    segment = data.index(b"\x18\x53\x80\x67")
    start = data[: segment + 4] + b"\x01\xff\xff\xff\xff\xff\xff\xff" + data[segment + 12 : cluster]
    return start + data[cluster : max(cues, cluster + 1)] * times


REFUSED = {
    "a frame that is too large": (clip_of_sizes(128, 6000, 128), "damaged|larger|accepts at most"),
    "a clip without end": (endless_clip(400), "damaged|over 3600 frames|s long"),
    "a gigabyte of boxes": (b"\0\0\0\x08ftyp" * 4_000_000, "damaged|no video"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_clip_that_would_take_too_much_is_refused(name: str) -> None:
    data, words = REFUSED[name]
    with pytest.raises(BadRequest, match=words) as caught:
        model.read_video(data, trim=False, cancelled=never)
    assert (caught.value.field, caught.value.status) == ("video", 422)
    assert len(model.read_video(GOOD, trim=False, cancelled=never).sync) >= 16


def test_time_and_memory_are_limited() -> None:
    """With small limits, so that the test is short."""
    large = clip_of_sizes(*[2048] * 30)
    for limits, words in (
        (model.READING._replace(seconds=0.05), "took more than 0.05 s"),
        (model.READING._replace(memory=12 << 20), "took more than 12 MiB"),
    ):
        with pytest.raises(BadRequest, match=words):
            decode_apart(f"{model.DECODING}:decode_video", large, False, limits=limits, cancelled=never)


def test_the_largest_frames_have_memory() -> None:
    views = model.read_video(clip_of_sizes(*[3072] * 18), trim=False, cancelled=never)
    assert len(views.sync) == 18
    assert np.array_equal(views.sync[0], views.sync[-1])


def test_the_answers_file_is_written_apart() -> None:
    body, media_type = model.add_sound(GOOD, np.zeros(48_000, np.float32), never)
    assert media_type == "video/mp4"
    with pytest.raises(BadRequest, match="not a video"):
        model.add_sound(b"hello", np.zeros(48_000, np.float32), never)
    assert body[4:8] == b"ftyp"
