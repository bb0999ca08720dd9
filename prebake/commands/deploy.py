"""``prebake deploy``: Kubernetes objects for a pushed image."""

from __future__ import annotations

import argparse
import sys

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import log
from prebake.workflow.requests import DeployRequest


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    parser.add_argument(
        "--image",
        metavar="REF",
        help="the pushed image, by tag or digest (default: the first reference that the last build pushed to)",
    )
    parser.add_argument(
        "--weights-image",
        metavar="REF",
        help="the pushed weights image, by tag or digest, if the build had `--weights volume` "
        "(default: the one that the last build pushed)",
    )
    parser.add_argument(
        "--replicas", type=flags.positive_int, metavar="N", help="the number of replicas of the Deployment (default: 1)"
    )


def read(arguments: Arguments) -> DeployRequest:
    named = arguments.pick("image", "weights_image", "replicas")
    return DeployRequest(root=arguments.root(), model=arguments.model(), options=flags.plan_options(arguments), **named)


def run(request: DeployRequest) -> None:
    from prebake.workflow.deploy import render_objects

    sys.stdout.write(render_objects(request, log))


COMMAND = Command("deploy", HELP["deploy"], add_flags, read, run)
