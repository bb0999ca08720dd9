"""``prebake compile``: compile artifacts that need the target's hardware, for builds on other machines."""

from __future__ import annotations

import argparse

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import log, show
from prebake.workflow.requests import CompileRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_base(parser)
    flags.add_license(parser)
    parser.add_argument(
        "--push",
        action="append",
        metavar="REF",
        help="also push the artifacts to the repository of this reference, such as HOST/PATH:TAG (the tag is not used); "
        "may be repeated",
    )
    parser.add_argument(
        "--engine",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help="compile in a container of the Docker Engine; with --no-engine compile without Docker, in the Python that runs this "
        "command, which then needs the packages of the image and of the export stage (default: --engine)",
    )
    parser.add_argument(
        "--keep-all",
        action="store_true",
        help="also keep artifacts whose size costs more than their speed saves (docs/compile.md)",
    )
    flags.add_json(parser)


def read(arguments: Arguments) -> CompileRequest:
    if not arguments.get("engine", True) and "base" in arguments:
        arguments.error("--no-engine does not go with --base: this Python compiles without a base image; leave one out")
    return CompileRequest(
        root=arguments.root(),
        model=arguments.model(),
        options=flags.plan_options(arguments),
        accepted_licenses=arguments.accepted_licenses(),
        push=tuple(arguments.get("push", ())),
        **arguments.pick("base", "engine", "keep_all", "json"),
    )


def run(request: CompileRequest) -> None:
    from prebake.workflow.compile import compile_model, compiled_text

    report = compile_model(request, log)
    show(report, compiled_text(report), as_json=request.json)


COMMAND = Command("compile", HELP["compile"], add_flags, read, run)
