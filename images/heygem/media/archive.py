"""Many faces, many answers: zip archives."""

from __future__ import annotations

import copy
import io
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from entrypoints.contract import BadRequest
from images.heygem.media.sizes import FACES, MOST_FACES

MOST_ENTRIES = 256
"""Of an archive, folders and the files among them that some systems add: they count before any entry is read."""
LONGEST_ENTRY = 1024
"""Bytes of an entry of the directory, on average: name, extra fields and comment."""
LONGEST_NAME = 255
"""Bytes of a name with its folders."""
LARGEST = 64 << 20
"""Bytes of all files of an archive, unpacked."""
ZIP = "application/zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compression methods with which zipfile unpacks no more bytes than requested."""
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError),
    *(RuntimeError, NotImplementedError, EOFError),  # a password is needed; an unknown kind of zip; a cut member
    *(ValueError, OverflowError, IndexError),  # a name that is not UTF-8, an impossible offset of a member
)
_END = struct.Struct("<4s4H2LH")
"""The end record (APPNOTE 4.3.16): signature, disks, entries on this disk, entries, size, place, length of the comment."""
_END64 = struct.Struct("<4sQ2H2L4Q")
"""The same with numbers of 64 bits (4.3.14), and _LOCATOR right before the end record, which says that it is there (4.3.15)."""
_LOCATOR = struct.Struct("<4sLQL")
_HEADER = struct.Struct("<4s5H3L2H")
"""An entry's header before its content (4.3.7); the last two are the lengths of its name and its extra field."""
_LONGEST_COMMENT = 0xFFFF
_ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Bits of an entry's flags (4.4.4): its content, its content by a newer method, its header."""
_LONGEST_STEM = 100
"""Characters of an answer's name without its ending."""
_UNSAFE = frozenset('<>:"/\\|?*')
"""Characters that some system refuses in a file's name, or reads as part of a path."""
_DEVICES = frozenset(
    [
        *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"),
        *(f"{name}{number}" for name in ("COM", "LPT") for number in "0123456789¹²³"),
    ]
)
"""Names of Windows that open a device, whatever ending follows."""


def read_archive(data: bytes) -> dict[str, bytes]:
    """The files of a zip archive by the names that their answers get, without endings.

    Raises BadRequest if the file is not an archive, or if the archive is empty, or has too many or too large files, files with a
    wrong declared size, paths out of the archive, or several files of one name.
    """
    try:
        data, count = _cut_to_end(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) != count:
                raise zipfile.BadZipFile(f"it declares {count} entries, and has {len(entries)}")
            _refuse(_find_hostile(entries))
            members = [Member(each, _find_stem(each)) for each in entries if not _is_left_out(each)]
            _refuse(_find_unusable(members))
            _check_places(data, entries, archive.start_dir)
            return {member.stem: _unpack(archive, member.info) for member in members}
    except _DAMAGE as error:
        raise BadRequest(f"the file cannot be read as a zip archive: {error}", field=FACES) from error


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files``, stored without compression: an mp4 would not become smaller."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return body.getvalue()


def clean_name(name: str) -> str:
    """A name that every system takes as a file's, and none as a path: no control or unsafe characters, no dots or blanks at its
    ends, no device of Windows, ``_LONGEST_STEM`` characters at most."""
    shown = "".join("_" if each in _UNSAFE or unicodedata.category(each)[0] == "C" else each for each in name)
    kept = unicodedata.normalize("NFC", shown)[:_LONGEST_STEM].strip(". ")
    return f"_{kept}" if not kept or kept.partition(".")[0].rstrip().upper() in _DEVICES else kept


class Member(NamedTuple):
    """A file of an archive."""

    info: zipfile.ZipInfo
    stem: str
    """The name of its answer, without ending."""


def _cut_to_end(data: bytes) -> tuple[bytes, int]:
    """The archive without its comment, so that zipfile reads the end record that is checked here, and the number of entries.
    zipfile parses the whole directory that an end record declares, whatever its length.

    Raises BadZipFile, BadRequest for too many entries."""
    place = data.rfind(b"PK\5\6", max(0, len(data) - _LONGEST_COMMENT - _END.size))
    if place < 0 or place + _END.size > len(data):
        raise zipfile.BadZipFile("it has no end record: it is another kind of file, or cut off")
    count, size = _read_large_end(data, place - _LOCATOR.size) or _END.unpack_from(data, place)[4:6]
    if count > MOST_ENTRIES:
        raise BadRequest(f"the archive has {count} entries: {MOST_ENTRIES} at most", field=FACES)
    if size > MOST_ENTRIES * LONGEST_ENTRY:
        raise BadRequest(f"the archive's directory has {size} bytes: names and comments are too long", field=FACES)
    return data[: place + _END.size - 2] + b"\0\0", count


def _read_large_end(data: bytes, place: int) -> tuple[int, int] | None:
    """Entries and bytes of the directory of an archive with numbers of 64 bits; None if there is no locator at ``place``."""
    start = place - _END64.size
    if start < 0 or not data.startswith(b"PK\6\7", place):
        return None
    if not data.startswith(b"PK\6\6", start) or _LOCATOR.unpack_from(data, place)[2] != start:
        raise zipfile.BadZipFile("its zip64 end record is not before its locator")
    count, size = _END64.unpack_from(data, start)[7:9]
    return count, size


def _is_left_out(entry: zipfile.ZipInfo) -> bool:
    """Folders, and what some systems add."""
    # ZipInfo.is_dir fails on an empty name, and does not recognize folders in archives of Windows programs
    *folders, name = _split(entry)
    hidden = name.startswith(".") and bool(name.strip("."))
    return entry.filename.endswith(("/", "\\")) or "__MACOSX" in folders or hidden


def _split(entry: zipfile.ZipInfo) -> list[str]:
    return entry.filename.replace("\\", "/").split("/")


def _find_stem(entry: zipfile.ZipInfo) -> str:
    return clean_name(PurePosixPath(_split(entry)[-1]).stem)


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's content. At most one byte more than its declared size is unpacked, or zipfile's smallest piece (4096)."""
    # zipfile cuts off content that is longer than declared; the one byte more detects this
    longer = copy.copy(member)
    longer.file_size += 1
    with archive.open(longer) as source:
        content = source.read(longer.file_size)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(
            f"{member.filename!r} does not have the {member.file_size} bytes that the archive declares"
        )
    return content


def _refuse(problems: Iterator[str]) -> None:
    found = "; ".join(problems)
    if found:
        raise BadRequest(found, field=FACES)


def _find_hostile(entries: Sequence[zipfile.ZipInfo]) -> Iterator[str]:
    """What no program writes that packs faces, whether or not the entry would be used."""
    names = [entry.filename for entry in entries]
    if any("\0" in entry.orig_filename for entry in entries):
        yield "a name in the archive has a NUL character"
    if any(len(name.encode(errors="replace")) > LONGEST_NAME for name in names):
        yield f"a name in the archive is longer than {LONGEST_NAME} bytes"
    if outside := [name for entry, name in zip(entries, names, strict=True) if _leads_outside(_split(entry))]:
        yield f"a path leads out of the archive: {outside[0][:_LONGEST_STEM]!r}"
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        yield f"the archive has several entries of one name: {twice[:_LONGEST_STEM]!r}"
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        yield "the archive is encrypted: send it without a password"


def _leads_outside(parts: Sequence[str]) -> bool:
    """Absolute, with a drive, or with ``..``."""
    return (len(parts) > 1 and not parts[0]) or parts[0][1:2] == ":" or ".." in parts


def _find_unusable(members: Sequence[Member]) -> Iterator[str]:
    if not members:
        yield "the archive has no files"
    if len(members) > MOST_FACES:
        yield f"the archive has {len(members)} files: {MOST_FACES} at most"
    if sum(member.info.file_size for member in members) > LARGEST:
        yield f"the archive's files have more than {LARGEST} bytes in total"
    if any(member.info.compress_type not in _METHODS for member in members):
        yield "the archive's files are compressed by an unsupported method: use deflate, or none"
    if any(not _split(member.info)[-1].strip(".") for member in members):
        yield "the archive has a file without a name"
    counts = Counter(member.stem.casefold() for member in members)  # some systems do not distinguish A and a
    if twice := sorted({member.stem for member in members if counts[member.stem.casefold()] > 1}):
        yield f"several files would get the same answer's name: {', '.join(twice)}"


def _check_places(data: bytes, entries: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Raises BadZipFile if two entries share bytes, as in archives that unpack one content many times. ``end``: where the
    directory begins."""
    spans = []
    for entry in entries:
        signature, *_, name, extra = _HEADER.unpack_from(data, entry.header_offset)
        if signature != b"PK\3\4":
            raise zipfile.BadZipFile(f"{entry.filename!r} is not where the directory says")
        content = entry.header_offset + _HEADER.size + name + extra
        spans.append((entry.header_offset, content + entry.compress_size))
    spans.sort()
    if any(stop > start for (_, stop), (start, _) in zip(spans, [*spans[1:], (end, end)], strict=True)):
        raise zipfile.BadZipFile("entries overlap")
