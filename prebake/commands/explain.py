"""``prebake explain``: the layers, where they are cached, and what a change rebuilds and pushes."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.image_labels import with_metadata
from prebake.commands.shared.output import log, show
from prebake.workflow.requests import ExplainRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_compression(parser)
    parser.add_argument(
        "--registry", metavar="REF", help="also look for the layers in the repository of this reference"
    )
    flags.add_json(parser)


def read(arguments: Arguments) -> ExplainRequest:
    named = arguments.pick("base", "registry", "compression", "json")
    return ExplainRequest(
        root=arguments.root(), model=arguments.model(), options=flags.plan_options(arguments), **named
    )


def run(request: ExplainRequest) -> None:
    from prebake.io.terminal import read_screen
    from prebake.workflow.explain import explain_image, explained_text

    options = with_metadata(request.options, request.root)
    explained = explain_image(replace(request, options=options), log)
    show(explained, explained_text(explained, read_screen(sys.stdout)), as_json=request.json)


COMMAND = Command("explain", HELP["explain"], add_flags, read, run)
