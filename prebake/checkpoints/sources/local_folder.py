"""Files of a folder of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.sources.symlinks import describe_missing, foreign_links
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import SourceError
from prebake.io.log import log_to_stderr
from prebake.spec.image.sources import FromLocal
from prebake.spec.lock import LockedFile


class Local:
    """``from: local``. A relative folder is taken from the project's ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def resolve(self, spec: FromLocal) -> list[RemoteFile]:
        folder = self._folder(spec.folder)
        missing = [describe_missing(folder, file) for file in spec.files if not (folder / file).is_file()]
        if missing:
            raise SourceError(
                f"{folder} has no file {', '.join(missing)}.", next_action="correct `folder` or `files` in image.yaml"
            )
        for file, place in foreign_links(folder, spec.files):
            log_to_stderr(f"{folder / file} is a link to a file outside of {folder}: Prebake uses the bytes of {place}")
        return [RemoteFile(target_path(spec.to, file), f"local:{spec.folder}", "", file) for file in spec.files]

    def unit(self, file: RemoteFile) -> str:
        return f"{file.source}/{file.locator}"

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        return [self._store(file, store, progress) for file in unit]

    def _store(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject:
        path = self._folder(file.origin) / file.locator
        try:
            size = path.stat().st_size
            progress.report(file.path, 0, size)
            stored = store.add_file(path, sha256=file.sha256, name=file.path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
            raise SourceError(
                f"{file.path}: {path} cannot be read: {error.strerror}.",
                next_action="put the file there, or correct image.yaml and lock",
            ) from error
        progress.report(file.path, size, size)
        return stored

    def _folder(self, folder: str) -> Path:
        return self._root / Path(folder).expanduser()


def changed_files(files: Iterable[LockedFile], root: Path, since: float) -> list[str]:
    """The paths of files from local folders that no longer match the lock: of another size, or with other bytes and written
    to after ``since`` (seconds since the epoch). Missing files are not among them, since the store may have them."""
    return [file.path for file in files if file.source.startswith("local:") and _is_changed(file, root, since)]


def _is_changed(file: LockedFile, root: Path, since: float) -> bool:
    path = root / Path(file.source.removeprefix("local:")).expanduser() / file.locator
    try:
        facts = path.stat()
        if facts.st_size == file.size and facts.st_mtime <= since:
            return False
        with path.open("rb") as stream:
            return facts.st_size != file.size or hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256
    except OSError:
        return False
