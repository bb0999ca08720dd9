"""``prebake explain``: each layer, who has it, and what a change would make again and send."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.labels import with_metadata
from prebake.commands.printing import show, tell
from prebake.oci.compression import Compression
from prebake.plan.values import Options


@dataclass(frozen=True)
class ExplainRequest:
    """The image; ``registry`` is a reference whose repository is asked as well."""

    root: Path
    model: str
    options: Options
    base: str = "auto"
    registry: str | None = None
    compression: Compression = "auto"
    json: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_choice(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_compression(parser)
    parser.add_argument("--registry", metavar="REF", help="a repository to ask as well")
    flags.add_json(parser)


def read(given: Given) -> ExplainRequest:
    named = given.only("base", "registry", "compression", "json")
    return ExplainRequest(given.root(), given.model(), flags.options_of(given), **named)


def run(request: ExplainRequest) -> None:
    from prebake.workflow.explaining import Question, explain_image, explained_text

    options = with_metadata(request.options, request.root)
    question = Question(request.root, request.model, options, request.base, request.registry, request.compression)
    explained = explain_image(question, tell)
    show(explained, explained_text(explained), as_json=request.json)


COMMAND = Command(
    "explain", "show each layer, who has it, and what a change would make again and send", add_flags, read, run
)
