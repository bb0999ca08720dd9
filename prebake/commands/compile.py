"""``prebake compile``: what only a machine with the device can make, for builds elsewhere to take."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.printing import show, tell
from prebake.plan.values import Options


@dataclass(frozen=True)
class CompileRequest:
    """What is compiled, and where it goes besides the store: the repositories of the references ``push``."""

    root: Path
    model: str
    options: Options
    accepted_licences: tuple[str, ...]
    push: tuple[str, ...]
    base: str = "auto"
    engine: bool = True
    keep_all: bool = False
    json: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_choice(parser)
    flags.add_base(parser)
    flags.add_licence(parser)
    parser.add_argument("--push", action="append", metavar="REF", help="a repository that gets what was compiled, too")
    parser.add_argument(
        "--engine",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help="in a container, with the GPU by device request; --no-engine: by this Python, which then has the export packages",
    )
    parser.add_argument("--keep-all", action="store_true", help="also what does not pay its bytes (docs/compile.md)")
    flags.add_json(parser)


def read(given: Given) -> CompileRequest:
    if not given.get("engine", True) and "base" in given:
        given.refuse("--no-engine does not go with --base: this Python compiles, on no base image; leave one out")
    return CompileRequest(
        given.root(),
        given.model(),
        flags.options_of(given),
        given.accepted_licences(),
        tuple(given.get("push", ())),
        **given.only("base", "engine", "keep_all", "json"),
    )


def run(request: CompileRequest) -> None:
    from prebake.workflow.compiling import CompileOrder, compile_model, compiled_text

    order = CompileOrder(
        request.root,
        request.model,
        request.options,
        request.base,
        request.accepted_licences,
        request.push,
        request.engine,
        request.keep_all,
    )
    report = compile_model(order, tell)
    show(report, compiled_text(report), as_json=request.json)


COMMAND = Command("compile", "compile for this machine, for builds elsewhere to take", add_flags, read, run)
