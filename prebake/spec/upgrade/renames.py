"""Names that changed between schemas of ``image.yaml`` and ``weights.lock``: the only list of them.

A path names mappings and lists from the top of the file in the newer names; ``*`` stands for any key or index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Pattern = tuple[str, ...]


@dataclass(frozen=True)
class KeyRename:
    """In the mapping at ``parent`` the key ``old`` is called ``new``."""

    parent: Pattern
    old: str
    new: str


@dataclass(frozen=True)
class ValueRename:
    """The text ``old`` at ``path`` is ``new``."""

    path: Pattern
    old: str
    new: str


@dataclass(frozen=True)
class Migration:
    """All names that changed from one schema to the next."""

    keys: tuple[KeyRename, ...] = ()
    values: tuple[ValueRename, ...] = ()


IMAGE_MIGRATIONS: Mapping[int, Migration] = {
    1: Migration(
        keys=(
            KeyRename((), "system", "system_packages"),
            KeyRename(("checkpoints", "*"), "licence", "license"),
            KeyRename(("checkpoints", "*", "license"), "acceptance", "requires_acceptance"),
            KeyRename(("components", "*"), "outside", "overflow"),
            KeyRename(("components", "*", "precision"), "bound", "max_relative_error"),
            KeyRename(("components", "*", "precision"), "block", "block_size"),
        ),
        values=(
            ValueRename(("fallback",), "announce", "warn"),
            ValueRename(("compiled", "*"), "measured", "auto"),
        ),
    ),
}
"""By the schema that a file has: what changes on the way to the next one."""

LOCK_MIGRATIONS: Mapping[int, Migration] = {
    1: Migration(
        keys=(
            KeyRename((), "system", "system_packages"),
            KeyRename(("checkpoints", "*"), "licence", "license"),
            KeyRename(("checkpoints", "*", "files", "*"), "licence", "license"),
            KeyRename(("checkpoints", "*", "layers", "*"), "packed", "zstd_ratio"),
        ),
    ),
}
"""The same for ``weights.lock``."""
