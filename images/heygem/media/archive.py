"""Many faces, many answers: zip archives."""

from __future__ import annotations

import copy
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from entrypoints.contract import BadRequest

FIELD = "faces"
MOST_FACES = 16
LARGEST = 64 << 20
"""Bytes of all files of an archive, unpacked."""
ZIP = "application/zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compression methods with which zipfile unpacks no more bytes than requested."""
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError),
    *(RuntimeError, NotImplementedError, EOFError),  # a password is needed; an unknown kind of zip; a cut member
    *(ValueError, OverflowError),  # a name that is not UTF-8, an impossible offset of a member
)


def read_archive(data: bytes) -> dict[str, bytes]:
    """The files of a zip archive by the names that their answers get, without endings.

    Raises BadRequest if the file is not an archive, or if the archive is empty, or has too many or too large files, files with a
    wrong declared size, or several files of one name.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
            _check(members)
            return {_stem(member): _unpack(archive, member) for member in members}
    except _DAMAGE as error:
        raise BadRequest(f"the file cannot be read as a zip archive: {error}", field=FIELD) from error


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files``, stored without compression: an mp4 would not become smaller."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return body.getvalue()


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Files, without what some systems add."""
    # ZipInfo.is_dir fails on an empty name, and does not recognize folders in archives of Windows programs
    return [each for each in archive.infolist() if not each.filename.endswith(("/", "\\")) and not _is_hidden(each)]


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    *folders, name = _parts(member)
    return "__MACOSX" in folders or (name.startswith(".") and not _is_nameless(member))


def _is_nameless(member: zipfile.ZipInfo) -> bool:
    """Whether the name is empty, ``.`` or ``..``, which no file can have."""
    return not _parts(member)[-1].strip(".")


def _parts(member: zipfile.ZipInfo) -> list[str]:
    return member.filename.replace("\\", "/").split("/")


def _stem(member: zipfile.ZipInfo) -> str:
    return PurePosixPath(_parts(member)[-1]).stem


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


def _check(members: list[zipfile.ZipInfo]) -> None:
    problems = list(_problems(members))
    if problems:
        raise BadRequest("; ".join(problems), field=FIELD)


def _problems(members: list[zipfile.ZipInfo]) -> Iterator[str]:
    stems = [_stem(member) for member in members]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if not members:
        yield "the archive has no files"
    if len(members) > MOST_FACES:
        yield f"the archive has {len(members)} files: {MOST_FACES} at most"
    if sum(member.file_size for member in members) > LARGEST:
        yield f"the archive's files have more than {LARGEST} bytes in total"
    if any(member.compress_type not in _METHODS for member in members):
        yield "the archive's files are compressed by an unsupported method: use deflate, or none"
    if any(_is_nameless(member) for member in members):
        yield "the archive has a file without a name"
    if twice:
        yield f"several files would get the same answer's name: {', '.join(twice)}"
