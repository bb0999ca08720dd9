"""The files of an image's folder that ``image.yaml`` names. A name without a file is a problem at its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prebake.errors import Problem, SpecInvalid
from prebake.spec.source_file import SourceFile
from prebake.spec.yaml_file import read_document

Field = tuple[str | int, ...]
FieldPattern = tuple[Field, str]
"""A glob relative to the image's folder, and the path of its field in ``image.yaml``."""


def list_patterns(globs: Sequence[str], *field: str) -> Iterator[FieldPattern]:
    """The globs of a list, each with its field."""
    for index, glob in enumerate(globs):
        yield (*field, index), glob


def field_place(folder: Path, field: Field) -> str:
    """``images/NAME/image.yaml:LINE FIELD``."""
    where = f"images/{folder.name}/image.yaml"
    document, _ = read_document((folder / "image.yaml").read_text(encoding="utf-8"), where)
    return document.place(field) if document else where


class ImageFiles:
    """Reads files of one image's folder and collects those that are missing."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._problems: list[Problem] = []

    def match(self, patterns: Iterable[FieldPattern]) -> tuple[SourceFile, ...]:
        """Every file of the patterns once, in their order, with its path in the project."""
        paths: list[Path] = []
        for field, pattern in patterns:
            matches = sorted(path for path in self._folder.glob(pattern) if _is_source(path))
            if not matches:
                self._miss(field, pattern)
            paths += matches
        return tuple(
            SourceFile(path.relative_to(self._root).as_posix(), path.read_bytes()) for path in dict.fromkeys(paths)
        )

    def read_notices(self, names: Sequence[str]) -> tuple[SourceFile, ...]:
        """The license texts, with their paths below ``notices/``."""
        for index, name in enumerate(names):
            if not (self._folder / name).is_file():
                self._miss(("notices", index), name)
        present = (name for name in names if (self._folder / name).is_file())
        return tuple(SourceFile(f"notices/{name}", (self._folder / name).read_bytes()) for name in present)

    def raise_problems(self) -> None:
        """Raises SpecInvalid with every name that has no file, if there are any."""
        if self._problems:
            folder = f"images/{self._folder.name}"
            action = f"add the files to {folder}/, or remove the entries from {folder}/image.yaml"
            raise SpecInvalid("Files are missing:", self._problems, next_action=action)

    def _miss(self, field: Field, pattern: str) -> None:
        self._problems.append(Problem(field_place(self._folder, field), f"{pattern!r} matches no file"))


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts
