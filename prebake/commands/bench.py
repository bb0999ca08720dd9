"""``prebake bench``: compare the start with that of the naive image or of another build."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.image_labels import with_metadata
from prebake.commands.shared.output import log, show
from prebake.plan.values import Options
from prebake.workflow.requests import BuildRequest


@dataclass(frozen=True)
class BenchRequest:
    """``runs`` starts of each image. ``against`` is an image of the Engine; None for the naive image."""

    root: Path
    model: str
    options: Options
    accepted_licenses: tuple[str, ...]
    base: str = "auto"
    runs: int = 10
    cache: Literal["warm", "cold"] = "warm"
    size: str | None = None
    against: str | None = None
    check: bool = False
    json: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_license(parser)
    parser.add_argument(
        "--runs", type=flags.positive_int, metavar="N", help="the number of timed starts of each image (default: 10)"
    )
    parser.add_argument(
        "--cache",
        choices=("warm", "cold"),
        help="the page cache before each start: as it is (warm), or dropped (cold), which needs root (default: warm)",
    )
    parser.add_argument(
        "--size",
        type=flags.byte_size,
        metavar="SIZE",
        help="use a sample checkpoint (random weights) of this size, such as 1GB (default: the checkpoint as locked)",
    )
    parser.add_argument(
        "--against",
        metavar="IMAGE",
        help="compare with this image, which must be in the Engine (default: the naive image)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail (exit code 46) if the image is too slow: the whole 95%% interval of a ratio is below the required ratio",
    )
    flags.add_json(parser)


def read(arguments: Arguments) -> BenchRequest:
    return BenchRequest(
        root=arguments.root(),
        model=arguments.model(),
        options=flags.plan_options(arguments),
        accepted_licenses=arguments.accepted_licenses(),
        **arguments.pick("base", "runs", "cache", "size", "against", "check", "json"),
    )


def run(request: BenchRequest) -> None:
    from prebake.workflow.bench import bench_image, compare_images, require_bounds

    build = BuildRequest(
        root=request.root,
        model=request.model,
        options=with_metadata(request.options, request.root),
        base=request.base,
        accepted_licenses=request.accepted_licenses,
        naive=request.against is None,
        size=request.size,
    )
    if request.against:
        table, document = compare_images(build, request.against, request.runs, request.cache, log)
    else:
        table, document = bench_image(build, request.runs, request.cache, log)
    show(document, table, as_json=request.json)
    if request.check:
        require_bounds(document)


COMMAND = Command("bench", HELP["bench"], add_flags, read, run)
