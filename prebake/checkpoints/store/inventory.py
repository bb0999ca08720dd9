"""Listing a store's objects and partial downloads, and removing them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prebake.checkpoints.store.store import DamagedObject, Store


@dataclass(frozen=True)
class ObjectInfo:
    """An object of the store. ``size`` in bytes; ``links`` counts hard links elsewhere.

    ``touched`` is the time at which it was added, linked or read last, if the file system records it: most record reads once a
    day (relatime), some never (noatime). ``verify`` reads every object.
    """

    sha256: str
    size: int
    touched: datetime
    links: int


@dataclass(frozen=True)
class PartialDownload:
    """A download that was interrupted. ``key`` is its sha256, or one of its origin; ``size`` in bytes."""

    key: str
    size: int


class _InUse(Exception):
    """Another process has the lock."""


def list_objects(store: Store) -> list[ObjectInfo]:
    """Every object, the one touched last first."""
    found = [_held(path) for path in (store.root / "sha256").glob("??/*")]
    return sorted((each for each in found if each), key=lambda each: (each.touched, each.sha256), reverse=True)


def list_partial_downloads(store: Store) -> list[PartialDownload]:
    """Every interrupted download, the largest first."""
    folder = store.root / "partial"
    found = [_begun(path) for path in folder.iterdir() if path.suffix != ".tag"]
    return sorted((each for each in found if each), key=lambda each: (-each.size, each.key))


def remove_partial_downloads(store: Store, found: Iterable[PartialDownload]) -> list[PartialDownload]:
    """Remove interrupted downloads. Returns those that another process is continuing, which stay."""
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


def remove_damaged(store: Store, damaged: Iterable[DamagedObject]) -> None:
    """Remove objects that are still damaged. An object that was fetched again since then stays."""
    for damage in damaged:
        with store.lock(damage.sha256):
            if store.damage(damage.sha256) is not None:
                store.drop(damage.sha256)


def _give_up() -> None:
    raise _InUse


def _begun(path: Path) -> PartialDownload | None:
    try:
        return PartialDownload(path.name, path.stat().st_size)
    except FileNotFoundError:  # completed meanwhile, and renamed
        return None


def _held(path: Path) -> ObjectInfo | None:
    try:
        facts = path.stat()
    except FileNotFoundError:  # pruned meanwhile
        return None
    touched = datetime.fromtimestamp(int(max(facts.st_atime, facts.st_ctime)), UTC)
    return ObjectInfo(path.name, facts.st_size, touched, facts.st_nlink - 1)
