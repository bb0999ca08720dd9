"""``prebake cache list|verify|prune``: the store that builds and projects share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.checkpoints.errors import StoreDamaged
from prebake.checkpoints.inventory import Held, Unfinished, drop_damaged, objects, remove_unfinished, unfinished
from prebake.checkpoints.store import Damage, Store, default_root
from prebake.errors import Busy, Problem
from prebake.oci.records import Records
from prebake.sizes import show_bytes
from prebake.workflow.needs import needed_objects
from prebake.workflow.steps import Tell


def list_cache() -> Mapping[str, Any]:
    """What the store holds; sizes in bytes, times as ISO 8601 in UTC."""
    store = Store(default_root())
    held, begun = objects(store), unfinished(store)
    return {
        "store": str(store.root),
        "bytes": _size(held),
        "records": len(Records(store.root).keys()),
        "unfinished": _unfinished_documents(begun),
        "objects": [
            {"sha256": each.sha256, "size": each.size, "touched": each.touched.isoformat(), "links": each.links}
            for each in held
        ],
    }


def listed_text(listed: Mapping[str, Any]) -> str:
    """The list for people."""
    lines = [
        f"store       {listed['store']}",
        f"objects     {len(listed['objects'])}, {show_bytes(listed['bytes'])}",
        f"records     {listed['records']}",
        f"unfinished  {len(listed['unfinished'])}, {show_bytes(sum(each['size'] for each in listed['unfinished']))}",
    ]
    if listed["objects"]:
        lines += ["", f"{'sha256':64}  {'size':>10}  {'links':>5}  touched"]
    lines += [
        f"{each['sha256']}  {show_bytes(each['size']):>10}  {each['links']:>5}  {each['touched'][:10]}"
        for each in listed["objects"]
    ]
    return "\n".join(lines)


def verify_cache(repair: bool, tell: Tell) -> str:
    """Hash every object again. Raises StoreDamaged with all that changed; ``repair`` removes them instead, or raises Busy
    where somebody uses the store."""
    store = Store(default_root())
    with store.in_use():
        held = objects(store)
        tell(f"cache: hashing {len(held)} objects, {show_bytes(_size(held))}")
        damaged = list(store.verify())
        if damaged and not repair:
            raise _damaged(store, damaged)
    if damaged:
        with store.unused(_busy):
            drop_damaged(store, damaged)
    lines = [f"removed {damage.sha256}: its bytes were {damage.found}" for damage in damaged]
    return "\n".join([*lines, f"{len(held) - len(damaged)} objects are what their names say"])


@dataclass(frozen=True)
class Pruning:
    """``keep`` are the projects whose needs stay, where objects are to go as well; None where none is."""

    keep: Sequence[Path] | None
    dry: bool


def prune_cache(pruning: Pruning, tell: Tell) -> Mapping[str, Any]:
    """Remove downloads that did not end, and what killed processes left; with ``keep`` objects that nothing needs.

    What would go is told before any of it goes. Raises Busy where objects are to go and somebody uses the store.
    """
    store = Store(default_root())
    alone = nullcontext() if pruning.dry or pruning.keep is None else store.unused(_busy)
    with alone:
        begun = unfinished(store)
        going = [] if pruning.keep is None else _unneeded(store, pruning.keep, tell)
        tell(
            f"cache: {len(going)} objects, {show_bytes(_size(going))}, and {len(begun)} unfinished downloads,"
            f" {show_bytes(_size(begun))}, {'would be' if pruning.dry else 'are'} removed from {store.root}"
        )
        return _prune(store, going, begun, pruning.dry, tell)


def pruned_text(pruned: Mapping[str, Any]) -> str:
    """What went, for people."""
    did = "would be removed" if pruned["dry_run"] else "removed"
    return f"{show_bytes(pruned['bytes'])} {did}; {show_bytes(pruned['left'])} of objects stay in {pruned['store']}"


def _prune(
    store: Store, going: Sequence[Held], begun: Sequence[Unfinished], dry: bool, tell: Tell
) -> Mapping[str, Any]:
    busy: Sequence[Unfinished] = []
    if not dry:
        busy = remove_unfinished(store, begun)
        store.sweep()
        for each in going:
            store.drop(each.sha256)
    for going_on in busy:
        tell(f"cache: {going_on.key} is being downloaded just now, and stays")
    gone = [each for each in begun if each not in busy]
    return {
        "store": str(store.root),
        "dry_run": dry,
        "bytes": _size(going) + _size(gone),
        "left": _size(objects(store)) - (_size(going) if dry else 0),
        "unfinished": _unfinished_documents(gone),
        "objects": [{"sha256": each.sha256, "size": each.size} for each in going],
    }


def _unneeded(store: Store, roots: Sequence[Path], tell: Tell) -> list[Held]:
    needed = needed_objects(roots, Records(store.root), tell)
    return [each for each in objects(store) if each.sha256 not in needed]


def _size(held: Sequence[Held | Unfinished]) -> int:
    return sum(each.size for each in held)


def _unfinished_documents(begun: Sequence[Unfinished]) -> list[Mapping[str, Any]]:
    return [{"key": each.key, "size": each.size} for each in begun]


def _damaged(store: Store, damaged: Sequence[Damage]) -> StoreDamaged:
    problems = [Problem(damage.sha256, f"its bytes are {damage.found}") for damage in damaged]
    return StoreDamaged(
        f"{len(damaged)} objects of {store.root} are not what their names say:",
        problems,
        next_action="`prebake cache verify --repair` removes them, and the next build fetches or makes them again; if it"
        " happens again, look at the disk",
    )


def _busy() -> None:
    raise Busy(
        "A build uses the store, and may count on what would be removed.",
        next_action="run it again when the build has ended; `prebake cache prune` without `--keep` takes unfinished downloads"
        " only, which needs no waiting",
    )
