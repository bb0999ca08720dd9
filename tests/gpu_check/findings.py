"""What the check tells: named results that hold or do not."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """``held`` is None for what is told and not judged."""

    name: str
    held: bool | None
    detail: str

    def __str__(self) -> str:
        word = {True: "met", False: "missed", None: "told"}[self.held]
        return f"{word:6}  {self.name}: {self.detail}"
