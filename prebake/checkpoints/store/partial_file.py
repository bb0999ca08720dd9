"""A partially downloaded file, kept across runs so that the download resumes where it stopped."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType

from prebake.io.disk_space import translate_full_disk

_CHUNK = 1 << 20


class PartialFile:
    """The first ``done`` bytes of a file, with their running sha256.

    ``tag`` is the validator (an ETag or a date, RFC 9110 section 8.8) that the server sent with these bytes. It is kept beside
    them, so that a later run can ask for the rest of the same file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resumed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", buffering=0)
        self._tag_path = path.with_name(path.name + ".tag")
        self._start()
        while block := self._file.read(_CHUNK):
            self._hash.update(block)
            self.done += len(block)
        self.resumed = self.done > 0

    def _start(self) -> None:
        self.done = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def tag(self) -> str:
        try:
            return self._tag_path.read_text(encoding="ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    @tag.setter
    def tag(self, value: str) -> None:
        if value != self.tag:
            self._tag_path.write_text(value, encoding="ascii", errors="ignore")

    def write(self, chunk: bytes) -> None:
        """Append. Raises NoRoom when the disk is full; what was written stays."""
        with translate_full_disk(self.path.parent):
            rest = memoryview(chunk)
            while rest:  # one write of an unbuffered file may write only a part
                rest = rest[self._file.write(rest) :]
        self._hash.update(chunk)
        self.done += len(chunk)

    def restart(self) -> None:
        """Discard all bytes, since they belong to another file."""
        self._file.seek(0)
        self._file.truncate()
        self._tag_path.unlink(missing_ok=True)
        self._start()
        self.resumed = False

    def sync(self) -> None:
        """Flush the bytes to disk, before the file gets its final name."""
        os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Remove the file and its tag."""
        self.path.unlink(missing_ok=True)
        self._tag_path.unlink(missing_ok=True)
