"""The port between ``prebake init`` and the kinds of checkpoint that it knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prebake.errors import PrebakeError, Problem
from prebake.spec.licences import UNKNOWN

_SCHEMA = "docs/image.schema.json"


class InitRefused(PrebakeError):
    """``prebake init`` cannot tell what a checkpoint is, or would write over an image."""

    exit_code = 17


@dataclass(frozen=True)
class Asked:
    """The image ``name`` of the project at ``root``, of what lies at ``origin``. ``licence`` is an SPDX identifier;
    ``inputs`` are types and shapes by name, for a checkpoint that does not tell them. ``remote`` are the fields of the
    spec's source where the origin is none of this machine. ``file`` is the file of the origin to begin with, or a folder of it;
    empty: those that count. ``sample`` is a file of real inputs. ``tell`` narrates."""

    root: Path
    name: str
    origin: str
    licence: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    remote: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    sample: Path | None = None
    tell: Callable[[str], None] = field(default=lambda _: None, compare=False)

    @property
    def schema(self) -> str:
        """Where an editor finds the schema of ``image.yaml``, from the image's folder; empty where it is not here."""
        return f"../../{_SCHEMA}" if (self.root / _SCHEMA).is_file() else ""

    def refuse_inputs(self, why: str) -> None:
        """Raise InitRefused where inputs are told of a checkpoint that needs no telling."""
        refuse(
            f"{self.origin}: {why}:", [Problem(name, "is told by --input") for name in self.inputs], "leave --input out"
        )

    @property
    def checkpoint(self) -> str:
        """What the checkpoint is called in the spec."""
        return "published" if self.remote else "local"

    def source(self, path: Path) -> Mapping[str, str]:
        """The source's fields. A folder's is relative to the project's, also if it lies outside: the spec holds no path of this
        machine alone."""
        return self.remote or {"from": "local", "folder": self._from_root(path)}

    def _from_root(self, path: Path) -> str:
        """A link in the project stays what the project calls it, wherever it leads."""
        named = Path(os.path.abspath(path))  # noqa: PTH100 - links are not to be followed
        place = named if named.is_relative_to(self.root) else path.resolve()
        return Path(os.path.relpath(place, self.root)).as_posix()

    def values(self, path: Path, title: str = "", licence: str = UNKNOWN) -> dict[str, object]:
        """What the templates of every kind say of the checkpoint at ``path``; ``licence`` is its own word on it."""
        return {
            "name": self.name,
            "title": title or path.resolve().name,
            "schema": self.schema,
            "licence": self.licence or licence,
            "unknown": UNKNOWN,
            "source": self.source(path),
            "checkpoint": self.checkpoint,
        }


class Beginning(Protocol):
    """A checkpoint that an image can be begun with."""

    def check(self) -> None:
        """Look at the documents alone, before the weights are fetched. Raises InitRefused for what they rule out."""

    def write(self, asked: Asked) -> Mapping[str, bytes]:
        """The files of the image's folder by path, ``image.yaml`` among them. Raises InitRefused with every problem."""


Recognise = Callable[[Path], Beginning | None]
"""What ``init`` asks each kind: None where the path is none of its own. Raises InitRefused where it is, and unclear."""


def refuse(message: str, problems: Sequence[Problem], next_action: str) -> None:
    """Raise InitRefused with all of them, if there are any."""
    if problems:
        told = dict.fromkeys(map(str, problems))  # a document may be read more than once
        raise InitRefused("\n".join([message, *(f"  {each}" for each in told)]), next_action=next_action)
