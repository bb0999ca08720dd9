"""``prebake cache list``: the objects of the store."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.output import show


@dataclass(frozen=True)
class CacheListRequest:
    json: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_json(parser)


def read(arguments: Arguments) -> CacheListRequest:
    return CacheListRequest(**arguments.pick("json"))


def run(request: CacheListRequest) -> None:
    from prebake.workflow.store.cache import list_cache, listed_text

    listed = list_cache()
    show(listed, listed_text(listed), as_json=request.json)


COMMAND = Command("list", "list all objects and unfinished downloads with their sizes", add_flags, read, run)
