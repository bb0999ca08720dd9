"""``prebake engine``: a private Docker Engine where none answers."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from prebake.commands.command import Command, Given
from prebake.commands.printing import tell


@dataclass(frozen=True)
class EngineRequest:
    """up, down, status or remove."""

    action: str


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("up", "down", "status", "remove"))


def read(given: Given) -> EngineRequest:
    return EngineRequest(given.get("action"))


def run(request: EngineRequest) -> None:
    from prebake.workflow.engines import act

    print(act(request.action, tell))


COMMAND = Command("engine", "a private Docker Engine where none answers", add_flags, read, run)
