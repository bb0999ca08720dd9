"""``prebake demo``: build, start, send a real request, show the measured start."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.labels import with_metadata
from prebake.commands.printing import tell
from prebake.plan.values import Options


@dataclass(frozen=True)
class DemoRequest:
    """The image that is shown."""

    root: Path
    model: str
    options: Options
    accepted_licences: tuple[str, ...]
    base: str = "auto"


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_choice(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_licence(parser)


def read(given: Given) -> DemoRequest:
    accepted = given.accepted_licences()
    return DemoRequest(given.root(), given.model(), flags.options_of(given), accepted, **given.only("base"))


def run(request: DemoRequest) -> None:
    from prebake.workflow.build import BuildOrder
    from prebake.workflow.demo import show_demo

    accepted = request.accepted_licences
    options = with_metadata(request.options, request.root)
    order = BuildOrder(request.root, request.model, options, request.base, accepted, naive=True)
    print(show_demo(order, tell))


COMMAND = Command("demo", "build, start, send a real request, show the measured start", add_flags, read, run)
