"""The answers' files: WAV read back byte by byte, muxed video read back with libav."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from images.foley.media.frames import LONGEST
from images.foley.media.mux import add_sound, choose_wrapping
from images.foley.media.sound import write_wav
from images.foley.media.video import SLACK
from tests.support.foley.clips import Clip, make_clip

SECOND = (np.sin(np.arange(48000) / 20) / 2).astype(np.float32)


def chunks_of(wav: bytes) -> dict[bytes, bytes]:
    """A reader of its own, by the RIFF rules: size of the whole, name and size before each chunk."""
    name, size, kind = struct.unpack_from("<4sI4s", wav)
    assert (name, size, kind) == (b"RIFF", len(wav) - 8, b"WAVE")
    chunks, position = {}, 12
    while position < len(wav):
        name, size = struct.unpack_from("<4sI", wav, position)
        chunks[name] = wav[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return chunks


@pytest.mark.parametrize("samples", [SECOND, SECOND[:0], SECOND[:1]])
def test_wav_holds_the_floats_themselves(samples: NDArray[np.float32]) -> None:
    chunks = chunks_of(write_wav(samples))
    assert list(chunks) == [b"fmt ", b"fact", b"data"]
    assert struct.unpack("<HHIIHHH", chunks[b"fmt "]) == (3, 1, 48000, 192000, 4, 32, 0)
    assert struct.unpack("<I", chunks[b"fact"]) == (len(samples),)
    assert np.array_equal(np.frombuffer(chunks[b"data"], "<f4"), samples)


def test_wav_is_read_by_libav() -> None:
    with av.open(io.BytesIO(write_wav(SECOND))) as file:
        stream = file.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("pcm_f32le", 48000, 1)
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(stream)])
    assert np.array_equal(heard, SECOND)


def packets_of(video: bytes) -> list[tuple[bytes, float]]:
    """Content and presentation time of the pictures' packets."""
    with av.open(io.BytesIO(video)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
        return [(bytes(packet), float(packet.pts * packet.time_base)) for packet in packets]


def sound_of(video: bytes) -> NDArray[np.float32]:
    with av.open(io.BytesIO(video)) as file:
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)


KINDS = [
    (Clip("mp4", "libx264", sound=True), "video/mp4", "aac"),
    (Clip("mp4", "mpeg4"), "video/mp4", "aac"),
    (Clip("matroska", "libx264"), "video/mp4", "aac"),
    (Clip("mp4", "libvpx-vp9"), "video/mp4", "aac"),
    (Clip("webm", "libvpx"), "video/webm", "opus"),
    (Clip("webm", "libvpx-vp9", sound=True), "video/webm", "opus"),
    (Clip("webm", "libsvtav1"), "video/webm", "opus"),
    (Clip("matroska", "ffv1"), "video/x-matroska", "aac"),
    (Clip("mp4", "libx264", times=[0, 30, 90, 250, 300, 620, 990]), "video/mp4", "aac"),
]


@pytest.mark.parametrize(("clip", "media_type", "codec"), KINDS)
def test_pictures_are_copied_and_the_sound_added(clip: Clip, media_type: str, codec: str) -> None:
    source = make_clip(clip)
    body, told = add_sound(source, SECOND)
    assert told == media_type
    with av.open(io.BytesIO(body)) as file:
        assert [stream.type for stream in file.streams] == ["video", "audio"]
        sound = file.streams.audio[0]
        assert (sound.codec_context.codec.canonical_name, sound.rate, sound.layout.name) == (codec, 48000, "stereo")
    assert [content for content, _ in packets_of(body)] == [content for content, _ in packets_of(source)]
    assert [time for _, time in packets_of(body)] == pytest.approx([time for _, time in packets_of(source)], abs=2e-3)


@pytest.mark.parametrize("clip", [Clip("mp4", "libx264"), Clip("webm", "libvpx")])
def test_the_sound_is_on_time_as_loud_and_on_both_channels(clip: Clip) -> None:
    left, right = sound_of(add_sound(make_clip(clip), SECOND)[0])
    assert len(SECOND) <= len(left) < len(SECOND) + 1024  # one frame of the encoder at most
    for heard in (left, right):
        assert np.corrcoef(heard[:48000], SECOND)[0, 1] > 0.99
        assert np.std(heard[2000:46000]) == pytest.approx(np.std(SECOND), rel=0.02)


def test_of_a_trimmed_clip_only_what_the_model_saw() -> None:
    source = make_clip(Clip(times=range(0, 16000, 200), size=(32, 32)))
    body, _ = add_sound(source, SECOND)
    copied, given = packets_of(body), packets_of(source)
    assert [content for content, _ in copied] == [content for content, _ in given[: len(copied)]]
    assert len(copied) < len(given)
    assert max(time for _, time in copied) >= LONGEST
    assert len([time for _, time in copied if time > LONGEST + SLACK]) <= 2  # decoded before what is shown before


@pytest.mark.parametrize(
    ("source", "codec", "format_"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "mp4"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "vp9", "mp4"),
        ("matroska,webm", "av1", "webm"),
        ("matroska,webm", "hevc", "mp4"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "prores", "matroska"),
    ],
)
def test_wrapping(source: str, codec: str, format_: str) -> None:
    assert choose_wrapping(source, codec).format == format_
