"""``prebake engine``: a private Docker Engine for machines without one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import log


@dataclass(frozen=True)
class EngineRequest:
    """``action`` is up, down, status or remove."""

    action: str


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("up", "down", "status", "remove"), help="start, stop, show or remove the private Engine"
    )


def read(arguments: Arguments) -> EngineRequest:
    return EngineRequest(arguments.get("action"))


def run(request: EngineRequest) -> None:
    """Carry out the action and print the Engine's state."""
    from prebake.bootstrap import private_engine
    from prebake.docker.connection import ensure_engine, find_engine, read_versions

    if request.action == "down":
        print("stopped" if private_engine.down(log=log) else "no private engine was running")
        return
    if request.action == "remove":
        private_engine.remove(log=log)
        print("removed")
        return
    connection = ensure_engine(log) if request.action == "up" else find_engine()
    versions = read_versions(connection)
    print(
        f"Docker Engine {versions.engine} at {connection.host}, BuildKit {versions.buildkit}, buildx {versions.buildx}"
    )


COMMAND = Command("engine", HELP["engine"], add_flags, read, run)
