"""``prebake bench`` without a baseline and limits: the start of the image beside that of its naive image."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from prebake.commands.bench.benched_image import BenchedImage
from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments
from prebake.commands.shared.output import log, show

NAIVE_FLAGS = ("runs", "size", "check")
"""The flags of this comparison alone."""


@dataclass(frozen=True)
class NaiveBenchRequest:
    """``runs`` starts of the image and of its naive image. ``size``: bytes of the sample checkpoint's weights, as ``1GB``; None
    for the locked size. ``check``: fail if a ratio is below the required one."""

    image: BenchedImage
    runs: int = 10
    size: str | None = None
    check: bool = False
    json: bool = False


def add_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--runs", type=flags.positive_int, metavar="N", help="the number of timed starts of each image (default: 10)"
    )
    group.add_argument(
        "--size",
        type=flags.byte_size,
        metavar="SIZE",
        help="use a sample checkpoint (random weights) of this size, such as 1GB (default: the checkpoint as locked)",
    )
    group.add_argument(
        "--check",
        action="store_true",
        help="fail (exit code 46) if the image is too slow: the whole 95%% interval of a ratio is below the required ratio",
    )


def read(arguments: Arguments, image: BenchedImage) -> NaiveBenchRequest:
    arguments.refuse_idle(("max_pairs", "allow_other_answers", "network"), "give --baseline or a limit")
    if arguments.get("state") == "absent":
        arguments.error("--state absent needs --baseline or a limit: the naive image is not compared in that state")
    return NaiveBenchRequest(image, **arguments.pick(*NAIVE_FLAGS, "json"))


def run(request: NaiveBenchRequest) -> None:
    from prebake.workflow.benchmark.naive import bench_image, require_bounds

    build = replace(request.image.build_request(), naive=True, size=request.size)
    table, document = bench_image(build, request.runs, request.image.state, log)
    show(document, table, as_json=request.json)
    if request.check:
        require_bounds(document)
