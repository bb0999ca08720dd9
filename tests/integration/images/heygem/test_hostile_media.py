"""Files that would take hours or all memory: each is answered within the limits, and the next request is served.

By the processes that decode for the image, with its own limits; smaller ones if a test waits for the limit itself.
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
import PIL.Image
import pytest

from entrypoints.contract import BadRequest, DecodeLimits, decode_each_apart
from images.heygem import model
from images.heygem.form import Request
from tests.support.models.heygem_recordings import empty_png, film, pack_header, portrait, record, speech, wav

FACE = DecodeLimits(model.FACE_SECONDS, model.FACE_MEMORY, "face")


def never() -> bool:
    return False


def look(data: bytes, count: int = 100, limits: DecodeLimits = FACE) -> int:
    """The number of pictures."""
    arguments = data, count, 4, "face"
    batches = decode_each_apart(f"{model.DECODING}:decode_face", *arguments, limits=limits, cancelled=never)
    return sum(len(batch) for batch in batches)


def jpeg(side: int) -> bytes:
    body = io.BytesIO()
    PIL.Image.new("RGB", (side, side), (9, 99, 199)).save(body, "JPEG")
    return body.getvalue()


def film_of_sizes(*sides: int) -> bytes:
    """A film whose frames have other sizes than its header says, each a jpeg."""
    body = io.BytesIO()
    with av.open(body, "w", format="matroska") as target:
        stream = target.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = sides[0], sides[0], "yuvj420p"
        target.start_encoding()
        for number, side in enumerate(sides):
            packet = av.Packet(jpeg(side))
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            target.mux(packet)
    return body.getvalue()


def endless_film(times: int) -> bytes:
    """A webm of unknown size, whose first cluster comes again and again."""
    data = film(range(5), kind="webm", codec="libvpx")
    cluster = data.index(b"\x1f\x43\xb6\x75")
    end = data.index(b"\x1c\x53\xbb\x6b", cluster)  # the cues
    segment = data.index(b"\x18\x53\x80\x67")
    start = data[: segment + 4] + b"\x01\xff\xff\xff\xff\xff\xff\xff" + data[segment + 12 : cluster]
    return start + data[cluster:end] * times


PACKED_HEADER = pack_header(film(range(3), kind="mov"))
BOMBS = {
    "a png of 55 million pixels": (empty_png(50_000, 1_100), "over 50000000 pixels"),
    "a png whose header says 4 million million": (
        empty_png(64, 64)[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + empty_png(64, 64)[24:],
        "over 50000000 pixels",
    ),
    "a film with a frame that is too large": (film_of_sizes(128, 7200), "damaged|over 50000000|changes|supported"),
    "a film with a packed header": (PACKED_HEADER, "header is compressed"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_the_next_face_seen(name: str) -> None:
    data, words = BOMBS[name]
    with pytest.raises(BadRequest, match=words) as refused:
        look(data)
    assert refused.value.status == 422
    assert look(portrait(1)) == 1


@pytest.mark.parametrize(("depth", "colors"), [(8, 1), (16, 4)])
def test_the_largest_pictures_have_memory(depth: int, colors: int) -> None:
    assert look(empty_png(7000, 7100, depth, colors)) == 1


def test_an_endless_film_is_cut_to_the_voice() -> None:
    assert look(endless_film(2000), 50) <= 50


def test_a_film_of_many_large_frames_is_out_of_time() -> None:
    large = film_of_sizes(*[2000] * 60)
    with pytest.raises(BadRequest, match=r"took more than 0\.2 s"):
        look(large, 1500, FACE._replace(seconds=0.2))
    with pytest.raises(BadRequest, match="took more than 8 MiB"):
        look(large, 1500, FACE._replace(memory=8 << 20))
    assert look(portrait(1)) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (record(np.zeros(16_000 * 600), "flac", "flac"), "longer than 60 s"),
        (wav(bytes(40_000), 1), "longer than 60 s"),
        (wav(bytes(2_000_000), 4_000_000), "send at most 768000"),
        (
            wav(bytes(1000), 16_000)[:4] + b"\xf0\xff\xff\x7f" + wav(bytes(1000), 16_000)[8:],
            "silent|too|short|send at least",
        ),
    ],
)
def test_a_voice_of_hours_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        model.read_voice(data, never)
    assert caught.value.field == "audio"


def test_a_voice_of_the_highest_rate_and_many_channels_fits() -> None:
    samples = np.repeat(np.rint(speech(2, 768_000) * 20_000).astype("<i2")[:, None], 8, axis=1)
    assert model.read_voice(wav(samples.tobytes(), 768_000, 8), never).frames == 50


def test_a_zip_of_60_000_entries_is_refused_before_it_is_parsed() -> None:
    directory = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) * 60_000
    data = directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 60_000, 60_000, len(directory), 0, 0)
    request = Request(audio=b"", faces=data, batch=True, steps=1, seed=1, output="mp4")
    with pytest.raises(BadRequest, match="60000 entries: 256 at most"):
        model.read_faces(request, never)
