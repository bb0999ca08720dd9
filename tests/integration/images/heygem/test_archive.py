"""Archives of faces: what comes out of good ones, and which are refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Sequence

import pytest

from entrypoints.contract import BadRequest
from images.heygem.media.archive import MOST_ENTRIES, clean_name, read_archive, write_archive
from tests.support.models.heygem_recordings import archive, lie, portrait, unpack


def test_an_archive_there_and_back() -> None:
    files = {"one.png": b"1", "folder/two.mp4": b"2", "__MACOSX/one.png": b"-", ".DS_Store": b"-", "./three.jpg": b"3"}
    files |= {"folder\\sub\\four.png": b"4", "folder\\": b""}
    found = read_archive(archive(files))
    assert found == {"one": b"1", "two": b"2", "three": b"3", "four": b"4"}
    assert unpack(write_archive(found)) == found
    assert write_archive(found) == write_archive(found)


def locked() -> bytes:
    """An archive that says that its file needs a password."""
    data = bytearray(archive({"a.png": b"x"}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    return bytes(data)


def huge() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a.png", bytes(65 << 20))
    return body.getvalue()


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


BOMB = bytes(48 << 20)


@pytest.mark.parametrize(
    ("summed", "words"),
    [(100, "Bad CRC-32 for file 'a.png'"), (101, "'a.png' does not have the 100 bytes"), (48 << 20, "Bad CRC-32")],
)
def test_a_file_is_unpacked_no_further_than_it_says(summed: int, words: str) -> None:
    bomb = lie({"a.png": BOMB}, zipfile.ZIP_DEFLATED, 100, summed)
    tracemalloc.start()
    with pytest.raises(BadRequest, match=words):
        read_archive(bomb)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20


WHOLE = archive({"a.png": portrait(1), "b.png": portrait(2)})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cannot be read as a zip archive"),
        (portrait(1), "cannot be read as a zip archive"),
        (WHOLE[: len(WHOLE) // 2], "cannot be read as a zip archive"),
        (WHOLE[:200] + b"\0\0\0\0" + WHOLE[204:], "cannot be read as a zip archive"),
        (archive({}), "has no files"),
        (archive({"folder/": b"", ".hidden": b"x"}), "has no files"),
        (archive({f"{n}.png": b"x" for n in range(17)}), "17 files: 16 at most"),
        (archive({"a.png": b"x", "b/a.jpg": b"y"}), "same answer's name: a"),
        (locked(), "password"),
        (huge(), "67108864 bytes in total"),
        (lie({"a.png": BOMB}, zipfile.ZIP_BZIP2, 100), "an unsupported method: use deflate, or none"),
        (lie({"a.png": b"x" * 99}, zipfile.ZIP_LZMA, 99), "an unsupported method: use deflate, or none"),
        (lie({"a.png": bytes(5000)}, zipfile.ZIP_DEFLATED, 4999, 5000), "'a.png' does not have the 4999 bytes"),
        (lie({"a.png": bytes(5000)}, zipfile.ZIP_DEFLATED, 5001), "'a.png' does not have the 5001 bytes"),
        (lie({"a.png": bytes(5000)}, zipfile.ZIP_STORED, 4999), "Bad CRC-32 for file 'a.png'"),
        (patched(archive({"a": b"x"}), b"a", b"\0"), "NUL"),
        (archive({".": b"x"}), "without a name"),
        (archive({"folder/..": b"x", "b.png": b"y"}), r"leads out of the archive: 'folder/\.\.'"),
        (archive({"folder\\..": b"x"}), "leads out of the archive"),
        (archive({"../../etc/passwd": b"x"}), "leads out of the archive"),
        (archive({"/etc/passwd": b"x"}), "leads out of the archive"),
        (archive({"\\\\server\\share\\a.png": b"x"}), "leads out of the archive"),
        (archive({"C:\\a.png": b"x"}), "leads out of the archive"),
        (archive({"c:a.png": b"x"}), "leads out of the archive"),
        (archive({"a.png": b"x", "../": b""}), "leads out of the archive"),
        (patched(archive({"a.png?": b"x"}), b"a.png?", b"a.png\0"), "NUL"),
        (archive({"x" * 252 + ".png": b"x"}), "longer than 255 bytes"),
        (archive({"A.png": b"x", "a.jpg": b"y"}), "same answer's name: A, a"),
        (archive({"a\x01.png": b"x", "a\x02.png": b"y"}), "same answer's name: a_"),
        (archive({"n" * 120 + ".png": b"x", "n" * 121 + ".png": b"y"}), "same answer's name: n"),
        (patched(archive({"\u00e4.png": b"x"}), "\u00e4".encode(), b"\xff\xfe"), "utf-8"),
        (archive({"c\\a.png": b"x", "b/a.jpg": b"y"}), "same answer's name: a"),
    ],
)
def test_what_is_no_archive_of_faces_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        read_archive(data)
    assert caught.value.field == "faces"


Entry = tuple[bytes, bytes]
"""A name and a content, stored as it is."""


def pack(
    entries: Sequence[Entry], places: Sequence[int] | None = None, count: int | None = None, size: int | None = None
) -> bytes:
    """A zip by hand (APPNOTE 4.3): each of ``entries`` at its own place, or its header in the directory at one of ``places``. The
    end record may lie about the directory's ``count`` and ``size``."""
    body, directory = bytearray(), bytearray()
    for number, (name, content) in enumerate(entries):
        sizes = struct.pack("<3L2H", zlib.crc32(content), len(content), len(content), len(name), 0)
        place = len(body) if places is None else places[number]
        if place == len(body):
            body += struct.pack("<4s5H", b"PK\3\4", 20, 0, 0, 0, 0x21) + sizes + name + content
        directory += struct.pack("<4s6H", b"PK\1\2", 20, 20, 0, 0, 0, 0x21) + sizes
        directory += struct.pack("<3H2L", 0, 0, 0, 0, place) + name
    end = len(entries) if count is None else count, len(directory) if size is None else size, len(body)
    return bytes(body + directory) + struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, min(end[0], 0xFFFF), min(end[0], 0xFFFF), *end[1:], 0
    )


def with_large_end(data: bytes, count: int, size: int) -> bytes:
    """The archive with end records of 64 bits (4.3.14) before its own."""
    place = len(data) - 22
    (start,) = struct.unpack_from("<L", data, place + 16)
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:place] + large + locator + end


TWO = pack([(b"a.png", b"one"), (b"b.png", b"two")])
EMPTY = [(b"%d.png" % number, b"") for number in range(60_000)]


def test_archives_packed_by_hand_are_read() -> None:
    assert read_archive(TWO) == {"a": b"one", "b": b"two"}
    assert read_archive(TWO[:-2] + b"\5\0hello") == {"a": b"one", "b": b"two"}
    directory = len(TWO) - 22 - TWO.index(b"PK\1\2")
    assert read_archive(with_large_end(TWO, 2, directory)) == {"a": b"one", "b": b"two"}


HOSTILE = {
    "60,000 empty entries": (pack(EMPTY), "60000 entries: 256 at most"),
    "70,000 entries in 64 bits": (with_large_end(pack(EMPTY), 70_000, 1), "70000 entries: 256 at most"),
    "entries that are not counted": (pack(EMPTY, count=2), "directory has .* bytes"),
    "entries that are not counted in 64 bits": (with_large_end(pack(EMPTY), 2, 3_000_000), "directory has .* bytes"),
    "more entries than are counted": (pack([(b"a", b"1"), (b"b", b"2")], count=1), "declares 1 entries, and has 2"),
    "a count of 64 bits without its record": (pack([(b"a", b"1")], count=70_000), "65535 entries"),
    "a locator without its record": (
        TWO[:-22] + struct.pack("<4sLQL", b"PK\6\7", 0, 5, 1) + TWO[-22:],
        "zip64 end record",
    ),
    "one content for many": (pack([(b"a.png", b"1"), (b"b.png", b"1")], places=[0, 0]), "zip archive"),
    "one entry many times": (pack([(b"a.png", b"1")] * 2, places=[0, 0]), "several entries of one name: 'a.png'"),
    "an entry beyond the end": (pack([(b"a.png", b"1")], places=[1 << 31]), "zip archive"),
    "an entry inside another": (
        pack([(b"a.png", pack([(b"b.png", b"2")])), (b"b.png", b"2")], places=[0, 35]),
        "entries overlap",
    ),
    "a name of 64 KiB": (pack([(b"a" * 65_000, b"1")]), "longer than 255 bytes"),
    "an archive in the archive alone": (pack([]), "has no files"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_in_words(name: str) -> None:
    data, words = HOSTILE[name]
    with pytest.raises(BadRequest, match=words) as caught:
        read_archive(data)
    assert (caught.value.field, caught.value.status) == ("faces", 422)


def test_an_archive_of_as_many_entries_as_are_read() -> None:
    entries = [(b"folder%d/" % number, b"") for number in range(MOST_ENTRIES - 1)]
    assert read_archive(pack([*entries, (b"a.png", b"1")])) == {"a": b"1"}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("con", "_con"),
        ("LPT1.old", "_LPT1.old"),
        ("...", "_"),
        ("a\r\nb\x7f", "a__b_"),
        ("\u202egnp", "_gnp"),
        ("a:b|c*", "a_b_c_"),
        (" a. ", "a"),
        ("z" * 500, "z" * 100),
        ("Zoë 東京", "Zoë 東京"),
    ],
)
def test_names_of_answers_are_names_everywhere(name: str, answer: str) -> None:
    assert clean_name(name) == answer
    assert clean_name(answer) == answer


def test_a_hostile_name_is_no_path_in_the_answer() -> None:
    faces = {"sub/.. /a\nb.png": b"1", "sub/con.png": b"2", "sub/|c:d.png": b"3"}
    assert list(read_archive(archive(faces))) == ["a_b", "_con", "_c_d"]
