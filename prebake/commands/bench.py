"""``prebake bench``: start-up against the naive image, or against another build."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.labels import with_metadata
from prebake.commands.printing import show, tell
from prebake.plan.values import Options


@dataclass(frozen=True)
class BenchRequest:
    """What is measured: ``runs`` starts of each image. ``against`` is an image of the Engine, None the naive one."""

    root: Path
    model: str
    options: Options
    accepted_licences: tuple[str, ...]
    base: str = "auto"
    runs: int = 10
    cache: Literal["warm", "cold"] = "warm"
    size: str | None = None
    against: str | None = None
    check: bool = False
    json: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_choice(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_licence(parser)
    parser.add_argument("--runs", type=flags.positive, metavar="N", help="starts of each image (default: 10)")
    parser.add_argument(
        "--cache", choices=("warm", "cold"), help="cold drops the page cache before each start (root); default: warm"
    )
    parser.add_argument(
        "--size",
        type=flags.size,
        metavar="SIZE",
        help="of a sample's weights, as 1GB: the same architecture, made for this",
    )
    parser.add_argument("--against", metavar="IMAGE", help="instead of the naive image: what a change is compared with")
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail if the image is surely slower than it should be: the whole 95%% interval of a bound says so",
    )
    flags.add_json(parser)


def read(given: Given) -> BenchRequest:
    return BenchRequest(
        given.root(),
        given.model(),
        flags.options_of(given),
        given.accepted_licences(),
        **given.only("base", "runs", "cache", "size", "against", "check", "json"),
    )


def run(request: BenchRequest) -> None:
    from prebake.workflow.bench import bench_image, compare_images, require_bounds
    from prebake.workflow.build import BuildOrder

    order = BuildOrder(
        request.root,
        request.model,
        with_metadata(request.options, request.root),
        request.base,
        request.accepted_licences,
        naive=request.against is None,
        size=request.size,
    )
    if request.against:
        table, document = compare_images(order, request.against, request.runs, request.cache, tell)
    else:
        table, document = bench_image(order, request.runs, request.cache, tell)
    show(document, table, as_json=request.json)
    if request.check:
        require_bounds(document)


COMMAND = Command("bench", "measure start-up against the naive image, in one run", add_flags, read, run)
