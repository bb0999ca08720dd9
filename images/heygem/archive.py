"""Many faces, many answers: zip archives."""

from __future__ import annotations

import io
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


def read_archive(data: bytes) -> dict[str, bytes]:
    """The files of a zip archive by the names that their answers get, without endings.

    Raises BadRequest for what is no archive, an empty one, one of too many or too large files, or of like names.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
            _check(members)
            return {_stem(member): archive.read(member) for member in members}
    # RuntimeError: a password is needed; NotImplementedError: an unknown compression; EOFError: a cut member
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise BadRequest(f"the file is no zip archive that can be read: {error}", field=FIELD) from error


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files``, stored as they are: mp4 does not get smaller."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return body.getvalue()


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Files, without what some systems add."""
    return [each for each in archive.infolist() if not each.is_dir() and not _is_hidden(each)]


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")


def _stem(member: zipfile.ZipInfo) -> str:
    return PurePosixPath(member.filename).stem


def _check(members: list[zipfile.ZipInfo]) -> None:
    problems = list(_problems(members))
    if problems:
        raise BadRequest("; ".join(problems), field=FIELD)


def _problems(members: list[zipfile.ZipInfo]) -> Iterator[str]:
    stems = [_stem(member) for member in members]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if not members:
        yield "the archive has no file in it"
    if len(members) > MOST_FACES:
        yield f"the archive has {len(members)} files: {MOST_FACES} at most"
    if sum(member.file_size for member in members) > LARGEST:
        yield f"the archive's files have over {LARGEST} bytes in all"
    if twice:
        yield f"several files would get the same answer's name: {', '.join(twice)}"
