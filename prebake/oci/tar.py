"""A layer as a tar whose bytes follow from names and contents alone: sorted, of the epoch, owned by root, read-only."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from prebake.oci.content import Content, Data, Joined

_BLOCK = 512
_NOTHING = Data(b"")
_END = Data(bytes(2 * _BLOCK))

Kind = Literal["file", "folder", "link"]
_TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


@dataclass(frozen=True)
class Entry:
    """One member. ``path`` is relative, with slashes; ``target`` is a symbolic link's."""

    path: str
    kind: Kind = "file"
    content: Content = _NOTHING
    executable: bool = False
    target: str = ""


def tar_of(entries: Iterable[Entry]) -> Joined:
    """The tar of these entries and of every folder above them (POSIX.1-2001 pax; files are 0444, what can be entered
    or run 0555). Its size is known, and no file is opened, before its bytes are asked for."""
    members = {entry.path: entry for entry in entries}
    for path in list(members):
        for parent in PurePosixPath(path).parents:
            members.setdefault(str(parent), Entry(str(parent), "folder"))
    members.pop(".", None)
    return Joined([*(part for path in sorted(members) for part in _parts(members[path])), _END])


def _parts(entry: Entry) -> Iterator[Content]:
    yield Data(_header(entry))
    if entry.kind == "file" and entry.content.size:
        yield entry.content
        if padding := -entry.content.size % _BLOCK:
            yield Data(bytes(padding))


def _header(entry: Entry) -> bytes:
    """tarfile adds a pax record where a name is longer than 100 bytes, or a file larger than 8 GiB."""
    info = tarfile.TarInfo(entry.path)
    info.type = _TYPES[entry.kind]
    info.mode = 0o777 if entry.kind == "link" else 0o555 if entry.executable or entry.kind == "folder" else 0o444
    info.size = entry.content.size if entry.kind == "file" else 0
    info.linkname = entry.target
    return info.tobuf(tarfile.PAX_FORMAT)
