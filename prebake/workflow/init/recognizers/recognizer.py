"""The interface between ``prebake init`` and the kinds of checkpoints that it knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prebake.errors import PrebakeError, Problem
from prebake.spec.image.licenses import UNKNOWN
from prebake.workflow.requests import InitRequest

_SCHEMA = "docs/image.schema.json"


class InitRefused(PrebakeError):
    """``prebake init`` does not recognize a checkpoint, finds files that do not fit each other (the message lists
    all problems), cannot choose between several forms of one graph, or would overwrite an image."""

    exit_code = 17


@dataclass(frozen=True)
class ImageDraft:
    """An image that ``prebake init`` is about to write. ``remote`` has the fields of the spec's source if the checkpoint is not
    on this machine. ``log`` takes lines for the person at the terminal."""

    request: InitRequest
    remote: Mapping[str, str] = field(default_factory=dict)
    log: Callable[[str], None] = field(default=lambda _: None, compare=False)

    @property
    def schema(self) -> str:
        """The path of the JSON schema from the image's folder, for editors; empty if the project has none."""
        return f"../../{_SCHEMA}" if (self.request.root / _SCHEMA).is_file() else ""

    def refuse_inputs(self, why: str) -> None:
        """Raises InitRefused if ``--input`` is given for a checkpoint that has its inputs' types."""
        refuse(
            f"{self.request.origin}: {why}:",
            [Problem(name, "is given by --input") for name in self.request.inputs],
            "leave --input out",
        )

    @property
    def checkpoint(self) -> str:
        """The checkpoint's name in the spec."""
        return "published" if self.remote else "local"

    def source(self, path: Path) -> Mapping[str, str]:
        """The fields of the spec's source. A folder's path is relative to the project's folder, even outside of it, so that the
        spec holds no absolute path."""
        return self.remote or {"from": "local", "folder": self._from_root(path)}

    def _from_root(self, path: Path) -> str:
        """A link in the project keeps its path, wherever it leads."""
        named = Path(os.path.abspath(path))  # noqa: PTH100 - links are not to be followed
        place = named if named.is_relative_to(self.request.root) else path.resolve()
        return Path(os.path.relpath(place, self.request.root)).as_posix()

    def values(self, path: Path, title: str = "", license: str = UNKNOWN) -> dict[str, object]:
        """The values of every kind's templates for the checkpoint at ``path``; ``license`` is that of its model card."""
        return {
            "name": self.request.name,
            "title": title or path.resolve().name,
            "schema": self.schema,
            "license": self.request.license or license,
            "unknown": UNKNOWN,
            "source": self.source(path),
            "checkpoint": self.checkpoint,
        }


class RecognizedCheckpoint(Protocol):
    """A checkpoint of one kind, from which an image can be written."""

    def check(self) -> None:
        """Check the documents alone, before the weights are downloaded. Raises InitRefused."""

    def write(self, draft: ImageDraft) -> Mapping[str, bytes]:
        """The files of the image's folder by path, ``image.yaml`` among them. Raises InitRefused with every problem."""


Recognizer = Callable[[Path], RecognizedCheckpoint | None]
"""Returns None if the path is no checkpoint of this kind. Raises InitRefused if it is one but ambiguous."""


def refuse(message: str, problems: Sequence[Problem], next_action: str) -> None:
    """Raises InitRefused with all problems, if there are any."""
    if problems:
        lines = dict.fromkeys(map(str, problems))  # a document may be read more than once
        raise InitRefused("\n".join([message, *(f"  {line}" for line in lines)]), next_action=next_action)
