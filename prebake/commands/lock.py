"""``prebake lock``: pin every file of the checkpoints, the system packages and the base image."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import log


@dataclass(frozen=True)
class LockRequest:
    """The image to lock; ``checkpoint`` is the only one to pin, None for all."""

    root: Path
    model: str
    checkpoint: str | None = None


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_project(parser)
    flags.add_model(parser)
    parser.add_argument("--checkpoint", metavar="NAME", help="pin only this checkpoint (default: all checkpoints)")


def read(arguments: Arguments) -> LockRequest:
    return LockRequest(root=arguments.root(), model=arguments.model(), **arguments.pick("checkpoint"))


def run(request: LockRequest) -> None:
    from prebake.workflow.checkpoint.lock import lock_image

    print(lock_image(request.root, request.model, request.checkpoint, log))


COMMAND = Command(
    "lock",
    HELP["lock"],
    add_flags,
    read,
    run,
)
