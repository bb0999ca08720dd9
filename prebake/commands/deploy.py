"""``prebake deploy``: Kubernetes objects for an image that was pushed."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.plan.values import Options


@dataclass(frozen=True)
class DeployRequest:
    """What is deployed; ``image`` and ``weights_image`` are references of the registry, None what the report says."""

    root: Path
    model: str
    options: Options
    image: str | None = None
    weights_image: str | None = None
    replicas: int = 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_choice(parser)
    parser.add_argument("--image", metavar="REF", help="reference by digest; the last build's where none is given")
    parser.add_argument("--weights-image", metavar="REF", help="by digest: /models, where --image does not hold it")
    parser.add_argument("--replicas", type=flags.positive, metavar="N", help="(default: 1)")


def read(given: Given) -> DeployRequest:
    named = given.only("image", "weights_image", "replicas")
    return DeployRequest(given.root(), given.model(), flags.options_of(given), **named)


def run(request: DeployRequest) -> None:
    from prebake.workflow.deploy import render_objects

    sys.stdout.write(
        render_objects(
            request.root, request.model, request.image, request.weights_image, request.replicas, request.options
        )
    )


COMMAND = Command("deploy", "write a Kubernetes Deployment and Service", add_flags, read, run)
