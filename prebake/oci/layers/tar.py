"""A layer's tar with reproducible bytes: entries are sorted, read-only, belong to root, and have the epoch as their time."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from prebake.oci.blobs.content import BytesContent, Content, JoinedContent

_BLOCK = 512
_EMPTY = BytesContent(b"")
_END = BytesContent(bytes(2 * _BLOCK))

Kind = Literal["file", "folder", "link"]
_TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


@dataclass(frozen=True)
class TarEntry:
    """One entry of a layer. ``path`` is relative, with slashes; ``target`` is a symbolic link's."""

    path: str
    kind: Kind = "file"
    content: Content = _EMPTY
    executable: bool = False
    target: str = ""


def tar_content(entries: Iterable[TarEntry]) -> JoinedContent:
    """The tar of these entries and the folders above them (POSIX.1-2001 pax). Files have the mode 0444; folders and executables
    0555. Its size is known before its bytes are read, and no file is opened until then."""
    members = {entry.path: entry for entry in entries}
    for path in list(members):
        for parent in PurePosixPath(path).parents:
            members.setdefault(str(parent), TarEntry(str(parent), "folder"))
    members.pop(".", None)
    return JoinedContent([*(part for path in sorted(members) for part in _parts(members[path])), _END])


def _parts(entry: TarEntry) -> Iterator[Content]:
    yield BytesContent(_header(entry))
    if entry.kind == "file" and entry.content.size:
        yield entry.content
        if padding := -entry.content.size % _BLOCK:
            yield BytesContent(bytes(padding))


def _header(entry: TarEntry) -> bytes:
    """tarfile adds a pax record if a name is longer than 100 bytes, or a file larger than 8 GiB."""
    info = tarfile.TarInfo(entry.path)
    info.type = _TYPES[entry.kind]
    info.mode = 0o777 if entry.kind == "link" else 0o555 if entry.executable or entry.kind == "folder" else 0o444
    info.size = entry.content.size if entry.kind == "file" else 0
    info.linkname = entry.target
    return info.tobuf(tarfile.PAX_FORMAT)
