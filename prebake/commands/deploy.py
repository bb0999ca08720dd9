"""``prebake deploy``: Kubernetes objects for an image that was pushed."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.printing import tell
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
    parser.add_argument(
        "--image", metavar="REF", help="where it was pushed, by tag or digest (default: the first place)"
    )
    parser.add_argument(
        "--weights-image", metavar="REF", help="the same, of a build with --weights volume: what holds /models"
    )
    parser.add_argument("--replicas", type=flags.positive, metavar="N", help="(default: 1)")


def read(given: Given) -> DeployRequest:
    named = given.only("image", "weights_image", "replicas")
    return DeployRequest(given.root(), given.model(), flags.options_of(given), **named)


def run(request: DeployRequest) -> None:
    from prebake.workflow.deploy import Rollout, render_objects

    rollout = Rollout(
        request.root, request.model, request.options, request.image, request.weights_image, request.replicas
    )
    sys.stdout.write(render_objects(rollout, tell))


COMMAND = Command("deploy", "write a Kubernetes Deployment and Service", add_flags, read, run)
