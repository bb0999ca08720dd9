"""``prebake cache verify``: hash the objects of the store again."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.output import log


@dataclass(frozen=True)
class CacheVerifyRequest:
    """``repair``: remove damaged objects."""

    repair: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repair", action="store_true", help="remove damaged objects; the next build downloads or makes them again"
    )


def read(arguments: Arguments) -> CacheVerifyRequest:
    return CacheVerifyRequest(**arguments.pick("repair"))


def run(request: CacheVerifyRequest) -> None:
    from prebake.workflow.store.cache import verify_cache

    print(verify_cache(request.repair, log))


COMMAND = Command("verify", "hash every object again and list the damaged ones", add_flags, read, run)
