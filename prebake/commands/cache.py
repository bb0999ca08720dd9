"""``prebake cache list|verify|prune``: the store that builds and projects share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.printing import show, tell

WHAT = "the store that builds and projects share: what it holds, whether it is whole, and making room"


@dataclass(frozen=True)
class ListRequest:
    json: bool = False


@dataclass(frozen=True)
class VerifyRequest:
    """``repair``: remove what is damaged."""

    repair: bool = False


@dataclass(frozen=True)
class PruneRequest:
    """``keep`` are the projects whose objects stay; None: only what is unfinished goes."""

    keep: tuple[Path, ...] | None = None
    dry_run: bool = False
    json: bool = False


def _add_list(parser: argparse.ArgumentParser) -> None:
    flags.add_json(parser)


def _list(request: ListRequest) -> None:
    from prebake.workflow.cache import list_cache, listed_text

    listed = list_cache()
    show(listed, listed_text(listed), as_json=request.json)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="remove them: the next build fetches or makes them again")


def _verify(request: VerifyRequest) -> None:
    from prebake.workflow.cache import verify_cache

    print(verify_cache(request.repair, tell))


def _add_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        nargs="*",
        metavar="PROJECT",
        help="and every object that none of these projects needs (where none is named: the one here)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what would go")
    flags.add_json(parser)


def _read_prune(given: Given) -> PruneRequest:
    keep = given.get("keep")
    if keep is not None:
        keep = tuple(Path(root).resolve() for root in keep) or (given.root(),)
    return PruneRequest(keep, **given.only("dry_run", "json"))


def _prune(request: PruneRequest) -> None:
    from prebake.workflow.cache import Pruning, prune_cache, pruned_text

    pruned = prune_cache(Pruning(request.keep, request.dry_run), tell)
    show(pruned, pruned_text(pruned), as_json=request.json)


COMMANDS = (
    Command(
        "list",
        "show every object, what was not finished, and their sizes",
        _add_list,
        lambda given: ListRequest(**given.only("json")),
        _list,
    ),
    Command(
        "verify",
        "hash every object again; tells all that are damaged",
        _add_verify,
        lambda given: VerifyRequest(**given.only("repair")),
        _verify,
    ),
    Command(
        "prune",
        "remove downloads that did not end, and what killed processes left",
        _add_prune,
        _read_prune,
        _prune,
    ),
)
