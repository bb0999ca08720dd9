"""``prebake lock``: resolve and pin every file of the checkpoints, and the base image."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.printing import tell


@dataclass(frozen=True)
class LockRequest:
    """What is pinned: every checkpoint, or one."""

    root: Path
    model: str
    checkpoint: str | None = None


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_project(parser)
    flags.add_model(parser)
    parser.add_argument("--checkpoint", metavar="NAME", help="only this one; the others keep what is pinned")


def read(given: Given) -> LockRequest:
    return LockRequest(given.root(), given.model(), **given.only("checkpoint"))


def run(request: LockRequest) -> None:
    from prebake.workflow.lock import lock_image

    print(lock_image(request.root, request.model, request.checkpoint, tell))


COMMAND = Command("lock", "resolve and pin every file of the checkpoints, and the base image", add_flags, read, run)
