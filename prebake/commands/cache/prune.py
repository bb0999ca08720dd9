"""``prebake cache prune``: remove files of the store."""

from __future__ import annotations

import argparse
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.output import log, show
from prebake.workflow.requests import CachePruneRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        nargs="*",
        metavar="PROJECT",
        help="also remove every object, except those that these projects need; without PROJECT, those of this folder's project",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed, and remove nothing")
    flags.add_json(parser)


def read(arguments: Arguments) -> CachePruneRequest:
    keep = arguments.get("keep")
    if keep is not None:
        keep = tuple(Path(root).resolve() for root in keep) or (arguments.root(),)
    return CachePruneRequest(keep, **arguments.pick("dry_run", "json"))


def run(request: CachePruneRequest) -> None:
    from prebake.workflow.store.cache import prune_cache, pruned_text

    pruned = prune_cache(request, log)
    show(pruned, pruned_text(pruned), as_json=request.json)


COMMAND = Command("prune", "remove unfinished downloads and leftovers of killed processes", add_flags, read, run)
