"""Storing members of a zip archive, such as a wheel."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile
from prebake.checkpoints.store.checksums import expect_size
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import SourceError
from prebake.io.file_copy import read_blocks


def unpack(
    archive: Path, files: Sequence[RemoteFile], store: Store, progress: Progress, *, where: str
) -> list[StoredObject]:
    """Store the members that the files' locators name, in order.

    Raises SourceError if the file is not a zip archive or lacks members (all are listed), ChecksumMismatch, NoRoom.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            _find_all(opened, files, where)
            return [_store(opened, file, store, progress, where) for file in files]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(
            f"{where} cannot be read as a zip archive: {error}.", next_action="check the source in image.yaml"
        ) from error


def _find_all(opened: zipfile.ZipFile, files: Sequence[RemoteFile], where: str) -> None:
    names = opened.namelist()
    missing = [file.locator for file in files if file.locator not in names]
    if missing:
        near = [name for lost in missing for name in difflib.get_close_matches(lost, names, n=1, cutoff=0.4)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise SourceError(
            f"{where} has no member {', '.join(missing)}{hint}", next_action="correct `files` in image.yaml"
        )


def _store(opened: zipfile.ZipFile, file: RemoteFile, store: Store, progress: Progress, where: str) -> StoredObject:
    member = opened.getinfo(file.locator)
    expect_size(file.path, file.size, member.file_size, origin=where)

    def chunks() -> Iterator[bytes]:
        done = 0
        with opened.open(member) as stream:
            for block in read_blocks(stream):
                done += len(block)
                progress.report(file.path, done, member.file_size)
                yield block

    return store.add_stream(chunks(), sha256=file.sha256, name=file.path, origin=where)
