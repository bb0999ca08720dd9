"""A small checkpoint of the same architecture, written by ``images/<name>/sample.py`` from a seed."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import ChecksumMismatch, PrebakeError, SourceError
from prebake.io.byte_sizes import format_bytes
from prebake.spec.image.sources import FromSample


class Sample:
    """``from: sample``. ``sample.py`` defines ``write(folder: Path, seed: int)``, or ``write(folder, seed, size)`` if the sample
    can have other sizes. Equal arguments must give equal bytes."""

    def __init__(self, root: Path, image: str) -> None:
        self._root = root
        self._script = root / "images" / image / "sample.py"
        self._shown = f"images/{image}/sample.py"

    def resolve(self, spec: FromSample) -> list[RemoteFile]:
        return [RemoteFile(target_path(spec.to, file), "sample", spec.revision, file) for file in spec.files]

    def unit(self, file: RemoteFile) -> str:
        return f"{file.source}:{file.revision}"

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        arguments = [int(each) for each in unit[0].revision.split("-")]
        size = f", {format_bytes(arguments[1])} of weights" if arguments[1:] else ""
        progress.note(self._shown, f"writing the sample checkpoint of seed {arguments[0]}{size}")
        with store.folder() as folder:
            self._write(folder, arguments)
            self._find_all(folder, unit)
            return [self._store(folder, file, store, progress) for file in unit]

    def _write(self, folder: Path, arguments: Sequence[int]) -> None:
        try:
            with _importing(self._root), contextlib.redirect_stdout(sys.stderr):
                _load(self._script).write(folder, *arguments)
        except ImportError as error:
            raise self._lacks(error) from error
        except (PrebakeError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise SourceError(
                f"{self._shown} failed: {type(error).__name__}: {error}",
                next_action=f"correct {self._shown}'s write({', '.join(('folder', 'seed', 'size')[: 1 + len(arguments)])})",
            ) from error

    def _lacks(self, error: ImportError) -> SourceError:
        if (error.name or "").partition(".")[0] == "prebake":
            return SourceError(
                f"{self._shown} imports a name that this version of Prebake does not have: {error}.",
                next_action="look up the new name in CHANGELOG.md; sample.py may import `prebake.checkpoints.sample_scaling`",
            )
        requirements = self._script.parent / "requirements" / "export.txt"
        install = f"-r {requirements.relative_to(self._root)}" if requirements.is_file() else str(error.name)
        return SourceError(
            f"{self._shown} needs the package {error.name!r}, which {sys.executable} does not have.",
            next_action=f"{sys.executable} -m pip install {install}",
        )

    def _find_all(self, folder: Path, unit: Sequence[RemoteFile]) -> None:
        missing = [file.locator for file in unit if not (folder / file.locator).is_file()]
        if missing:
            raise SourceError(
                f"{self._shown} did not write {', '.join(missing)}.",
                next_action="change write() to write every file that image.yaml lists",
            )

    def _store(self, folder: Path, file: RemoteFile, store: Store, progress: Progress) -> StoredObject:
        try:
            stored = store.add_file(folder / file.locator, sha256=file.sha256, name=file.path)
        except ChecksumMismatch as error:
            raise ChecksumMismatch(
                f"{error}\n  {self._shown} wrote it from seed {file.revision}",
                next_action="if sample.py or the version of torch changed, lock again and review the difference",
            ) from error
        progress.report(file.path, stored.size, stored.size)
        return stored


def _load(script: Path) -> ModuleType:
    if not script.is_file():
        raise SourceError(
            f"There is no {script}.", next_action="add sample.py with write(folder, seed), or another source"
        )
    spec = importlib.util.spec_from_file_location(f"images.{script.parent.name}.sample", script)
    if spec is None or spec.loader is None:
        raise AssertionError(f"{script} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _importing(root: Path) -> Iterator[None]:
    """Let sample.py import its neighbors as ``images.<name>.…``. They are removed afterwards: another project may follow."""
    before = {name for name in sys.modules if name.partition(".")[0] == "images"}
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.partition(".")[0] == "images" and name not in before]:
            del sys.modules[name]
