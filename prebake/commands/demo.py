"""``prebake demo``: build and start an image, send a request, and show the measured start."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.image_labels import with_metadata
from prebake.commands.shared.output import log
from prebake.plan.values import Options
from prebake.workflow.requests import BuildRequest


@dataclass(frozen=True)
class DemoRequest:
    """The image of the demonstration."""

    root: Path
    model: str
    options: Options
    accepted_licenses: tuple[str, ...]
    base: str = "auto"


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_license(parser)


def read(arguments: Arguments) -> DemoRequest:
    return DemoRequest(
        root=arguments.root(),
        model=arguments.model(),
        options=flags.plan_options(arguments),
        accepted_licenses=arguments.accepted_licenses(),
        **arguments.pick("base"),
    )


def run(request: DemoRequest) -> None:
    from prebake.io.terminal import read_screen
    from prebake.workflow.demo import show_demo

    build = BuildRequest(
        root=request.root,
        model=request.model,
        options=with_metadata(request.options, request.root),
        base=request.base,
        accepted_licenses=request.accepted_licenses,
        naive=True,
    )
    print(show_demo(build, log, read_screen(sys.stdout)))


COMMAND = Command("demo", HELP["demo"], add_flags, read, run)
