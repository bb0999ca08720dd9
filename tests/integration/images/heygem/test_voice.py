"""What is heard of a file, and which files are refused."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from entrypoints.contract import BadRequest
from images.heygem.media.libav import without_tags
from images.heygem.media.voice import read_voice
from tests.support.models.heygem_recordings import (
    click,
    film,
    portrait,
    record,
    speech,
    tag,
    wav,
    with_old_tag,
    with_tag_chunk,
)


def test_a_wav_is_heard_as_it_is() -> None:
    samples = speech(1.3)
    voice = read_voice(record(samples))
    assert np.abs(voice.heard - samples).max() < 1e-4
    assert (len(voice.heard), len(voice.sound), voice.frames) == (20_800, 62_400, 33)


@pytest.mark.parametrize(
    ("kind", "codec", "rate"),
    [
        ("mp3", "libmp3lame", 44_100),
        ("mp3", "libmp3lame", 16_000),
        ("flac", "flac", 48_000),
        ("ogg", "libopus", 48_000),
        ("mp4", "aac", 44_100),
        ("matroska", "libopus", 48_000),
        ("wav", "pcm_f32le", 8_000),
        ("aiff", "pcm_s16be", 22_050),
    ],
)
def test_a_click_is_heard_where_it_is(kind: str, codec: str, rate: int) -> None:
    voice = read_voice(record(click(1.6, 0.77, rate), kind, codec, rate))
    for samples, hertz in ((voice.heard, 16_000), (voice.sound, 48_000)):
        first = np.flatnonzero(np.abs(samples) > 0.2)[0] / hertz
        assert abs(first - 0.77) < 0.01  # of a frame's 0.04
        assert abs(len(samples) / hertz - 1.6) < 0.07  # some codecs fill their last packet


@pytest.mark.parametrize("channels", [2, 8, 24])
def test_all_channels_are_heard(channels: int) -> None:
    """The mean of one that speaks and of others that are still; 8 are what a film in 7.1 has."""
    data = np.zeros((16_000, channels), "<i2")
    data[:, 0] = np.rint(speech(1) * 32_767)
    voice = read_voice(wav(data.tobytes(), 16_000, channels))
    assert np.abs(voice.heard - speech(1) / channels).max() < 1e-3
    assert np.abs(voice.heard).max() > 0.3 / channels


def floats(samples: list[float]) -> bytes:
    """A wav of numbers as they are."""
    return wav(np.array(samples, "<f4").tobytes(), 16_000, kind=3, size=4)


WAV = record(speech(1))
MP3 = record(speech(3), "mp3", "libmp3lame", 44_100)
REFUSED = {
    "nothing": (b"", "empty"),
    "text": (b"hello there, this is no sound at all", "of an unsupported kind"),
    "a playlist": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n", "of an unsupported kind"),
    "a list of files": (b"ffconcat version 1.0\nfile /etc/hostname\n", "of an unsupported kind"),
    "a picture": (portrait(1), "of an unsupported kind"),
    "a film without sound": (film(range(10)), "the file has no sound"),
    "silence": (record(np.zeros(16_000)), "silent"),
    "a whisper of noise": (record(np.random.RandomState(1).standard_normal(16_000) * 1e-4), "silent"),
    "too short": (record(speech(0.07)), "0.070 s long"),
    "too long": (record(speech(60.2)), "longer than 60 s"),
    "a codec that nobody knows": (wav(bytes(20_000), 16_000, kind=0x7777), "its codec is not supported"),
    "too fine": (wav(bytes(2_000_000), 2_000_000_011), "2000000011 samples a second: send at most 768000"),
    "a wav cut off": (WAV[:20_000], "cut off: it declares 32078 bytes, but 20000 arrived"),
    "an mp3 cut off": (MP3[: len(MP3) // 2], "cut off"),
    "no numbers": (floats([0.1, float("nan")] * 8000), "not numbers"),
    "damage": (MP3[:9000] + bytes(6000) + MP3[15_000:], "damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_voice_is_refused_in_words(name: str) -> None:
    data, words = REFUSED[name]
    with pytest.raises(BadRequest, match=words) as caught:
        read_voice(data)
    assert (caught.value.field, caught.value.status) == ("audio", 422)


BOMB = tag(60 << 20)
TAGGED = {
    "mp3": (BOMB + BOMB + MP3, MP3),
    "mp3 and a footer": (BOMB[:5] + b"\x10" + BOMB[6:] + b"3DI" + BOMB[3:10] + MP3, MP3),
    "flac": (BOMB + record(speech(1), "flac", "flac"), record(speech(1), "flac", "flac")),
    "wav": (with_tag_chunk(WAV, BOMB), WAV),
}


def test_a_tag_in_another_alphabet_is_passed_over() -> None:
    assert np.array_equal(read_voice(with_old_tag(MP3)).heard, read_voice(MP3).heard)


@pytest.mark.parametrize("kind", TAGGED)
def test_what_a_tag_packs_is_not_unpacked(kind: str) -> None:
    tagged, plain = TAGGED[kind]
    assert b"APIC" not in without_tags(tagged) or b"JUNK" in without_tags(tagged)
    assert np.array_equal(read_voice(tagged).heard, read_voice(plain).heard)


def test_unpacking_a_tag_would_take_memory() -> None:
    """What the test above rests on: libav does unpack it."""
    with av.open(io.BytesIO(BOMB + MP3)) as file:
        covers = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    assert [len(each) for each in covers] == [60 << 20]


def test_the_limits_are_taken() -> None:
    assert [read_voice(record(speech(seconds))).frames for seconds in (0.08, 0.2)] == [2, 5]
    assert read_voice(record(speech(60))).frames == 1500
