"""``prebake cache list|verify|prune``: the local store that all builds share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.output import log, show
from prebake.workflow.requests import CachePruneRequest


@dataclass(frozen=True)
class CacheListRequest:
    json: bool = False


@dataclass(frozen=True)
class CacheVerifyRequest:
    """``repair``: remove damaged objects."""

    repair: bool = False


def _add_list(parser: argparse.ArgumentParser) -> None:
    flags.add_json(parser)


def _list(request: CacheListRequest) -> None:
    from prebake.workflow.store.cache import list_cache, listed_text

    listed = list_cache()
    show(listed, listed_text(listed), as_json=request.json)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repair", action="store_true", help="remove damaged objects; the next build downloads or makes them again"
    )


def _verify(request: CacheVerifyRequest) -> None:
    from prebake.workflow.store.cache import verify_cache

    print(verify_cache(request.repair, log))


def _add_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        nargs="*",
        metavar="PROJECT",
        help="also remove every object, except those that these projects need; without PROJECT, those of this folder's project",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed, and remove nothing")
    flags.add_json(parser)


def _read_prune(arguments: Arguments) -> CachePruneRequest:
    keep = arguments.get("keep")
    if keep is not None:
        keep = tuple(Path(root).resolve() for root in keep) or (arguments.root(),)
    return CachePruneRequest(keep, **arguments.pick("dry_run", "json"))


def _prune(request: CachePruneRequest) -> None:
    from prebake.workflow.store.cache import prune_cache, pruned_text

    pruned = prune_cache(request, log)
    show(pruned, pruned_text(pruned), as_json=request.json)


COMMANDS = (
    Command(
        "list",
        "list all objects and unfinished downloads with their sizes",
        _add_list,
        lambda arguments: CacheListRequest(**arguments.pick("json")),
        _list,
    ),
    Command(
        "verify",
        "hash every object again and list the damaged ones",
        _add_verify,
        lambda arguments: CacheVerifyRequest(**arguments.pick("repair")),
        _verify,
    ),
    Command(
        "prune",
        "remove unfinished downloads and leftovers of killed processes",
        _add_prune,
        _read_prune,
        _prune,
    ),
)
