"""``prebake verify``: an image at a registry against the lock and this checkout, byte for byte."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.printing import show, tell
from prebake.plan.values import Options


@dataclass(frozen=True)
class VerifyRequest:
    """The image at ``reference``, and what it should be."""

    root: Path
    model: str
    options: Options
    reference: str
    weights_image: str | None = None
    json: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="HOST/PATH, by :TAG or @sha256:…")
    flags.add_choice(parser)
    parser.add_argument("--weights-image", metavar="REF", help="that of /models, where REF does not hold it")
    flags.add_json(parser)


def read(given: Given) -> VerifyRequest:
    named = given.only("weights_image", "json")
    return VerifyRequest(given.root(), given.model(), flags.options_of(given), given.get("reference"), **named)


def run(request: VerifyRequest) -> None:
    from prebake.workflow.verifying import Claim, verify_image

    claim = Claim(request.root, request.model, request.options, request.reference, request.weights_image)
    verified = verify_image(claim, tell)
    show(verified.document(), verified.text(), as_json=request.json)


COMMAND = Command(
    "verify", "hold an image at a registry against the lock and this checkout, byte for byte", add_flags, read, run
)
