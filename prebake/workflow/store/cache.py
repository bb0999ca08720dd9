"""``prebake cache list|verify|prune``: the local store that all builds share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from prebake.checkpoints.errors import StoreDamaged
from prebake.checkpoints.store.inventory import (
    ObjectInfo,
    PartialDownload,
    list_objects,
    list_partial_downloads,
    remove_damaged,
    remove_partial_downloads,
)
from prebake.checkpoints.store.store import DamagedObject, Store, default_root
from prebake.errors import Busy, Problem
from prebake.io.byte_sizes import format_bytes
from prebake.io.log import Log
from prebake.oci.records.layer_records import Records
from prebake.workflow.requests import CachePruneRequest
from prebake.workflow.store.references import needed_objects


def list_cache() -> Mapping[str, Any]:
    """The objects, records and unfinished downloads of the store; sizes in bytes, times as ISO 8601 in UTC."""
    store = Store(default_root())
    stored, downloads = list_objects(store), list_partial_downloads(store)
    return {
        "store": str(store.root),
        "bytes": _size(stored),
        "records": len(Records(store.root).keys()),
        "unfinished": _unfinished_documents(downloads),
        "objects": [
            {"sha256": held.sha256, "size": held.size, "touched": held.touched.isoformat(), "links": held.links}
            for held in stored
        ],
    }


def listed_text(listed: Mapping[str, Any]) -> str:
    """The list as text."""
    lines = [
        f"store       {listed['store']}",
        f"objects     {len(listed['objects'])}, {format_bytes(listed['bytes'])}",
        f"records     {listed['records']}",
        f"unfinished  {len(listed['unfinished'])}, {format_bytes(sum(download['size'] for download in listed['unfinished']))}",
    ]
    if listed["objects"]:
        lines += ["", f"{'sha256':64}  {'size':>10}  {'links':>5}  touched"]
    lines += [
        f"{entry['sha256']}  {format_bytes(entry['size']):>10}  {entry['links']:>5}  {entry['touched'][:10]}"
        for entry in listed["objects"]
    ]
    return "\n".join(lines)


def verify_cache(repair: bool, log: Log) -> str:
    """Hash every object again. Raises StoreDamaged with all damaged objects; with ``repair`` it removes them instead, or raises
    Busy if a build uses the store."""
    store = Store(default_root())
    with store.in_use():
        stored = list_objects(store)
        log(f"cache: hashing {len(stored)} objects, {format_bytes(_size(stored))}")
        damaged = list(store.verify())
        if damaged and not repair:
            raise _damaged(store, damaged)
    if damaged:
        with store.unused(_busy):
            remove_damaged(store, damaged)
    lines = [f"removed {damage.sha256}: its bytes were {damage.found}" for damage in damaged]
    return "\n".join([*lines, f"{len(stored) - len(damaged)} objects have the digest of their name"])


def prune_cache(request: CachePruneRequest, log: Log) -> Mapping[str, Any]:
    """Remove unfinished downloads and leftovers of killed processes; with ``keep`` also objects that no project needs.

    The sizes are logged before anything is removed. Raises Busy if objects are to be removed while a build uses the store.
    """
    store = Store(default_root())
    lock = nullcontext() if request.dry_run or request.keep is None else store.unused(_busy)
    with lock:
        downloads = list_partial_downloads(store)
        unneeded = [] if request.keep is None else _unneeded(store, request.keep, log)
        log(
            f"cache: {len(unneeded)} objects, {format_bytes(_size(unneeded))}, and {len(downloads)} unfinished downloads,"
            f" {format_bytes(_size(downloads))}, {'would be' if request.dry_run else 'are'} removed from {store.root}"
        )
        return _prune(store, unneeded, downloads, request.dry_run, log)


def pruned_text(pruned: Mapping[str, Any]) -> str:
    """The removed bytes as text."""
    did = "would be removed" if pruned["dry_run"] else "removed"
    return f"{format_bytes(pruned['bytes'])} {did}; {format_bytes(pruned['left'])} of objects stay in {pruned['store']}"


def _prune(
    store: Store, unneeded: Sequence[ObjectInfo], downloads: Sequence[PartialDownload], dry_run: bool, log: Log
) -> Mapping[str, Any]:
    busy: Sequence[PartialDownload] = []
    if not dry_run:
        busy = remove_partial_downloads(store, downloads)
        store.sweep()
        for held in unneeded:
            store.drop(held.sha256)
    for download in busy:
        log(f"cache: {download.key} is being downloaded, and is kept")
    removed = [download for download in downloads if download not in busy]
    return {
        "store": str(store.root),
        "dry_run": dry_run,
        "bytes": _size(unneeded) + _size(removed),
        "left": _size(list_objects(store)) - (_size(unneeded) if dry_run else 0),
        "unfinished": _unfinished_documents(removed),
        "objects": [{"sha256": held.sha256, "size": held.size} for held in unneeded],
    }


def _unneeded(store: Store, roots: Sequence[Path], log: Log) -> list[ObjectInfo]:
    needed = needed_objects(roots, Records(store.root), log)
    return [held for held in list_objects(store) if held.sha256 not in needed]


def _size(entries: Sequence[ObjectInfo | PartialDownload]) -> int:
    return sum(entry.size for entry in entries)


def _unfinished_documents(downloads: Sequence[PartialDownload]) -> list[Mapping[str, Any]]:
    return [{"key": download.key, "size": download.size} for download in downloads]


def _damaged(store: Store, damaged: Sequence[DamagedObject]) -> StoreDamaged:
    problems = [Problem(damage.sha256, f"its bytes are {damage.found}") for damage in damaged]
    return StoreDamaged(
        f"{len(damaged)} objects of {store.root} do not have the digest of their name:",
        problems,
        next_action="run `prebake cache verify --repair` to remove them; the next build makes them again; if it happens again,"
        " check the disk",
    )


def _busy() -> None:
    raise Busy(
        "A build uses the store and may need the objects that would be removed.",
        next_action="run it again when the build has ended; `prebake cache prune` without `--keep` removes only unfinished"
        " downloads and does not have to wait",
    )
