"""Pictures of any size and films of any rate as squares at the answer's rate; archives of them."""

from __future__ import annotations

import io
import zlib

import numpy as np
import PIL.Image
import pytest

from entrypoints.contract import BadRequest
from images.heygem.media.faces import every_tick, read_face
from images.heygem.media.libav import only_picture
from tests.support.models.heygem_recordings import (
    box,
    chunk,
    film,
    pack_header,
    paint,
    portrait,
    record,
    speech,
)


def read(data: bytes, count: int = 100) -> list[np.ndarray]:
    return list(read_face(data, count))


def jpeg(height: int, width: int, orientation: int = 1) -> bytes:
    body, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x112] = orientation
    PIL.Image.fromarray(paint(2, height, width)).save(body, "JPEG", quality=95, exif=exif)
    return body.getvalue()


def test_a_square_of_256_is_taken_bit_by_bit() -> None:
    (picture,) = read(portrait(4))
    assert np.array_equal(picture, paint(4, 256, 256))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (480, 640), (641, 301), (1080, 1920)])
def test_the_middle_is_kept_and_scaled(height: int, width: int) -> None:
    (picture,) = read(portrait(5, height, width))
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = PIL.Image.fromarray(paint(5, height, width)[top : top + side, left : left + side])
    wanted = np.asarray(middle.resize((256, 256), PIL.Image.Resampling.BICUBIC)).astype(int)
    assert picture.shape == (256, 256, 3)
    assert np.abs(picture - wanted).mean() < 1


def test_a_telephones_picture_stands_upright() -> None:
    (lying,), (turned,) = read(jpeg(200, 200)), read(jpeg(200, 200, orientation=6))
    assert np.abs(np.rot90(lying, -1).astype(int) - turned).mean() < 2
    assert np.abs(lying.astype(int) - turned).mean() > 5


@pytest.mark.parametrize(("rate", "count"), [(25, 20), (50, 11), (10, 49)])
def test_a_film_of_any_rate_is_seen_at_25(rate: int, count: int) -> None:
    pictures = read(film([1] * 10 + [2] * 10, rate, 256))
    assert len(pictures) == count
    change = round(10 / rate * 25)
    shown = [np.abs(each.astype(int) - paint(2, 256, 256)).mean() < 8 for each in pictures]
    assert shown == [number >= change for number in range(count)]


def test_a_long_film_is_cut() -> None:
    assert len(read(film(range(30)), 7)) == 7


def test_the_newest_frame_is_taken_whenever_films_stutter() -> None:
    frames = [(5.0, "a"), (5.01, "b"), (5.05, "c"), (5.2, "d")]
    assert "".join(every_tick(frames, 100)) == "abcccd"


def blank(side: int) -> bytes:
    body = io.BytesIO()
    PIL.Image.new("L", (side, side)).save(body, "PNG")
    return body.getvalue()


AFTER_HEADER = 8 + 12 + 13
"""Bytes of a png's signature and first chunk."""


def with_chunk(png: bytes, extra: bytes) -> bytes:
    return png[:AFTER_HEADER] + extra + png[AFTER_HEADER:]


@pytest.mark.parametrize(
    ("kind", "before"), [(b"zTXt", b"note\0\0"), (b"iTXt", b"note\0\1\0\0\0"), (b"iCCP", b"profile\0\0")]
)
def test_what_a_png_packs_beside_its_picture_is_not_unpacked(kind: bytes, before: bytes) -> None:
    plain = portrait(3)
    bomb = with_chunk(plain, chunk(kind, before + zlib.compress(bytes(60 << 20), 9)))
    assert len(bomb) < len(plain) + (100 << 10)
    assert kind not in only_picture(bomb)
    assert len(only_picture(bomb)) <= len(plain)
    (picture,) = read(bomb)
    assert np.array_equal(picture, paint(3, 256, 256))


def test_palettes_and_transparency_stay() -> None:
    body = io.BytesIO()
    source = PIL.Image.fromarray(paint(6, 256, 256)).quantize(16)
    source.save(body, "PNG", transparency=0)
    (picture,) = read(body.getvalue())
    assert np.array_equal(picture, np.asarray(source.convert("RGB")))


FILM = film(range(20), side=128)
REFUSED = {
    "nothing": (b"", "empty"),
    "text": (b"no picture " * 20, "of an unsupported kind"),
    "a playlist": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n", "of an unsupported kind"),
    "a sound": (record(speech(1), "mp4", "aac"), "no picture"),
    "too small": (portrait(1, 300, 63), "63x300: send at least 64 pixels"),
    "a small film": (film(range(3), side=32), "32x32"),
    "too large": (blank(7100), "over 50000000 pixels"),
    "a png cut off": (portrait(1)[:5000], "damaged"),
    "a png without an end": (portrait(1)[:-12], "png has no end"),
    "a png whose chunk is too long": (
        with_chunk(portrait(1), b"\xff\xff\xff\xfftEXt" + bytes(9)),
        "cut off at byte 33",
    ),
    "a png damaged": (portrait(1)[:500] + bytes(9) + portrait(1)[509:], "damaged"),
    "a film of pngs": (film(range(3), kind="mov", codec="png", form="rgb24"), "png inside another file"),
    "a png after a tag": (b"ID3\4\0\0\0\0\0\0" + portrait(1), "png inside another file"),
    "a jpg cut off": (jpeg(200, 300)[:-400], "damaged"),
    "a codec that nobody knows": (FILM.replace(b"avc1", b"zzzz"), "its codec is not supported"),
    "a film with a packed header": (pack_header(film(range(3), kind="mov")), "header is compressed"),
    "a header that unpacks a packed one": (
        box(b"ftyp", b"qt  \0\0\0\0qt  ") + pack_header(pack_header(box(b"moov", bytes(1 << 20)))),
        "header is compressed",
    ),
    "a film cut off": (FILM[: len(FILM) // 2], "damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_face_is_refused_in_words(name: str) -> None:
    data, words = REFUSED[name]
    with pytest.raises(BadRequest, match=words) as caught:
        read(data)
    assert (caught.value.field, caught.value.status) == ("face", 422)
