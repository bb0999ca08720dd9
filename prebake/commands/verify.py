"""``prebake verify``: compare an image at a registry with the lock and this checkout, byte for byte."""

from __future__ import annotations

import argparse

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import log, show
from prebake.workflow.requests import VerifyRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="the pushed image: HOST/PATH:TAG or HOST/PATH@sha256:…")
    flags.add_image(parser)
    parser.add_argument(
        "--weights-image", metavar="REF", help="the pushed weights image, if the build had `--weights volume`"
    )
    flags.add_json(parser)


def read(arguments: Arguments) -> VerifyRequest:
    named = arguments.pick("weights_image", "json")
    return VerifyRequest(
        root=arguments.root(),
        model=arguments.model(),
        options=flags.plan_options(arguments),
        reference=arguments.get("reference"),
        **named,
    )


def run(request: VerifyRequest) -> None:
    from prebake.workflow.verify import verify_image

    verified = verify_image(request, log)
    show(verified.document(), verified.text(), as_json=request.json)


COMMAND = Command("verify", HELP["verify"], add_flags, read, run)
