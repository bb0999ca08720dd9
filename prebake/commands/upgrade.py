"""``prebake upgrade``: image.yaml and weights.lock of an earlier schema, rewritten in place."""

from __future__ import annotations

import argparse

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.workflow.requests import UpgradeRequest

ALL = "all"


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_project(parser)
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="the image: the name of a folder in images/, or all (default: all)"
    )
    parser.add_argument("--model", metavar="NAME", help="the same as NAME")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and exit with code 66 if a file has an earlier schema"
    )


def read(arguments: Arguments) -> UpgradeRequest:
    name = arguments.model(default=ALL)
    return UpgradeRequest(root=arguments.root(), models=() if name == ALL else (name,), **arguments.pick("check"))


def run(request: UpgradeRequest) -> None:
    from prebake.workflow.upgrade import upgrade_project

    print(upgrade_project(request))


COMMAND = Command("upgrade", HELP["upgrade"], add_flags, read, run)
