"""What a store holds, what of it is damaged, and taking things out again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prebake.checkpoints.store import Damage, Store


@dataclass(frozen=True)
class Held:
    """An object. ``size`` in bytes; ``links`` counts the files elsewhere that share its bytes.

    ``touched`` is when it came, was linked or was read last, as far as the file system keeps that: reading counts once a
    day on most (relatime), never on some (noatime), and ``verify`` reads everything.
    """

    sha256: str
    size: int
    touched: datetime
    links: int


@dataclass(frozen=True)
class Unfinished:
    """A download that was cut: ``key`` is its sha256, or follows from where it is published; ``size`` in bytes."""

    key: str
    size: int


class _InUse(Exception):
    """Somebody has the lock."""


def objects(store: Store) -> list[Held]:
    """Every object, the one that was touched last first."""
    found = [_held(path) for path in (store.root / "sha256").glob("??/*")]
    return sorted((each for each in found if each), key=lambda each: (each.touched, each.sha256), reverse=True)


def unfinished(store: Store) -> list[Unfinished]:
    """Every download that did not end, the largest first."""
    folder = store.root / "partial"
    found = [_begun(path) for path in folder.iterdir() if path.suffix != ".tag"]
    return sorted((each for each in found if each), key=lambda each: (-each.size, each.key))


def remove_unfinished(store: Store, found: Iterable[Unfinished]) -> list[Unfinished]:
    """Remove downloads that did not end, but for those that go on in another process just now; these are returned."""
    busy = []
    for each in found:
        try:
            with store.lock(each.key, _give_up):
                path = store.partial_path(each.key)
                path.unlink(missing_ok=True)
                path.with_name(f"{each.key}.tag").unlink(missing_ok=True)
        except _InUse:
            busy.append(each)
    return busy


def drop_damaged(store: Store, damaged: Iterable[Damage]) -> None:
    """Remove objects that are still damaged: one that was fetched anew since is left."""
    for damage in damaged:
        with store.lock(damage.sha256):
            if store.damage(damage.sha256) is not None:
                store.drop(damage.sha256)


def _give_up() -> None:
    raise _InUse


def _begun(path: Path) -> Unfinished | None:
    try:
        return Unfinished(path.name, path.stat().st_size)
    except FileNotFoundError:  # whole meanwhile, and renamed
        return None


def _held(path: Path) -> Held | None:
    try:
        facts = path.stat()
    except FileNotFoundError:  # pruned meanwhile
        return None
    touched = datetime.fromtimestamp(int(max(facts.st_atime, facts.st_ctime)), UTC)
    return Held(path.name, facts.st_size, touched, facts.st_nlink - 1)
