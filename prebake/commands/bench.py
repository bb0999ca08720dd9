"""``prebake bench``: compare the start with that of the naive image, or judge it against a baseline and limits."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.image_labels import with_metadata
from prebake.commands.shared.output import log, show
from prebake.plan.values import Options
from prebake.spec.image.gate import parse_duration, parse_share, parse_size
from prebake.workflow.requests import BuildRequest, State

NAIVE_FLAGS = ("runs", "size", "check")
"""The flags of the comparison with the naive image alone."""
GATE_FLAGS = ("gate", "baseline", "max_regression", "max_ttfi", "max_image_size")
"""Each of these makes the command a gate."""


@dataclass(frozen=True)
class BenchRequest:
    """``runs`` starts of the image and of its naive image. ``state``: of the page cache before each start."""

    root: Path
    model: str
    options: Options
    accepted_licenses: tuple[str, ...]
    base: str = "auto"
    runs: int = 10
    state: State = "warm"
    size: str | None = None
    check: bool = False
    json: bool = False


@dataclass(frozen=True)
class GateBenchRequest:
    """A gate. ``baseline``: None if only the image's own limits are checked. The limits are None unless they were given:
    ``max_regression`` a share, ``max_ttfi`` in seconds, ``max_image_size`` in bytes. ``state``: of the machine before each
    start, with ``network`` the bits per second at which an absent image is pulled. ``max_pairs``: None for the default."""

    root: Path
    model: str
    options: Options
    accepted_licenses: tuple[str, ...]
    base: str = "auto"
    baseline: str | None = None
    max_regression: float | None = None
    max_ttfi: float | None = None
    max_image_size: int | None = None
    max_pairs: int | None = None
    state: State = "warm"
    network: int | None = None
    allow_other_answers: bool = False
    json: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_license(parser)
    parser.add_argument(
        "--state",
        choices=("warm", "cold", "absent"),
        help="before each start: leave the page cache as it is (warm); drop it (cold), which needs root; or remove the image and "
        "pull it into an empty Engine (absent), which needs --baseline, --gate or a limit, and root on Linux (default: warm)",
    )
    naive = parser.add_argument_group("compare with the naive image (the default)")
    naive.add_argument(
        "--runs", type=flags.positive_int, metavar="N", help="the number of timed starts of each image (default: 10)"
    )
    naive.add_argument(
        "--size",
        type=flags.byte_size,
        metavar="SIZE",
        help="use a sample checkpoint (random weights) of this size, such as 1GB (default: the checkpoint as locked)",
    )
    naive.add_argument(
        "--check",
        action="store_true",
        help="fail (exit code 46) if the image is too slow: the whole 95%% interval of a ratio is below the required ratio",
    )
    gate = parser.add_argument_group(
        "gate: judge the start (exit codes: 0 pass, 46 fail, 69 unclear, 82 unusable baseline)"
    )
    gate.add_argument(
        "--baseline",
        metavar="REF",
        help="compare with this image of the same model: a tag of the Engine, HOST/PATH:TAG or HOST/PATH@DIGEST at a registry "
        "(it is pulled), or a git revision (it is built)",
    )
    gate.add_argument(
        "--gate",
        action="store_true",
        help="judge by the limits of image.yaml alone, without a baseline; not with the other limits",
    )
    gate.add_argument(
        "--max-regression",
        metavar="PERCENT",
        type=_limit(parse_share),
        help="how much longer than the baseline's the time to the first answer may be, such as 10%% (default: `gate` of "
        "image.yaml, else 10%%)",
    )
    gate.add_argument(
        "--max-ttfi",
        metavar="TIME",
        type=_limit(parse_duration),
        help="the longest time to the first answer, such as 2s or 800ms (default: `gate` of image.yaml, else no limit)",
    )
    gate.add_argument(
        "--max-image-size",
        metavar="SIZE",
        type=_limit(parse_size),
        help="the largest size of the image's unpacked layers, such as 1.5GB (default: `gate` of image.yaml, else no limit)",
    )
    gate.add_argument(
        "--max-pairs",
        metavar="N",
        type=flags.positive_int,
        help="stop after N pairs of starts even if the verdict is unclear; a clear verdict needs at least 8 (default: 40)",
    )
    gate.add_argument(
        "--network",
        metavar="RATE",
        type=flags.network,
        help="with --state absent: the bit rate of the link to the registry, such as 10Gbps (default: 1Gbps)",
    )
    gate.add_argument(
        "--allow-other-answers",
        action="store_true",
        help="compare with a baseline that has another warm-up request or answer",
    )
    flags.add_json(parser)


def _limit(parse: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def read(arguments: Arguments) -> BenchRequest | GateBenchRequest:
    common: dict[str, Any] = {
        "root": arguments.root(),
        "model": arguments.model(),
        "options": flags.plan_options(arguments),
        "accepted_licenses": arguments.accepted_licenses(),
        **arguments.pick("base", "state", "json"),
    }
    if not any(name in arguments for name in GATE_FLAGS):
        _refuse(arguments, ("max_pairs", "allow_other_answers", "network"), "give --baseline or a limit")
        if arguments.get("state") == "absent":
            arguments.error("--state absent needs --baseline or a limit: the naive image is not compared in that state")
        return BenchRequest(**common, **arguments.pick(*NAIVE_FLAGS))
    _refuse(
        arguments, NAIVE_FLAGS, "it belongs to the comparison with the naive image, which --baseline and limits replace"
    )
    if "gate" in arguments:
        _refuse(arguments, GATE_FLAGS[1:], "--gate judges by image.yaml alone; leave --gate out")
    if "baseline" not in arguments:
        _refuse(arguments, ("max_regression", "allow_other_answers"), "give --baseline, or leave it out")
    if arguments.get("state") != "absent":
        _refuse(arguments, ("network",), "only --state absent pulls the image")
    own = arguments.pick(*GATE_FLAGS[1:], "max_pairs", "allow_other_answers", "network")
    return GateBenchRequest(**common, **own)


def _refuse(arguments: Arguments, names: tuple[str, ...], advice: str) -> None:
    if unfit := [arguments.flag(name) for name in names if name in arguments]:
        arguments.error(f"{', '.join(unfit)} would have no effect: {advice}")


def run(request: BenchRequest | GateBenchRequest) -> None:
    if isinstance(request, GateBenchRequest):
        _gate(request)
    else:
        _compare(request)


def _compare(request: BenchRequest) -> None:
    from prebake.workflow.benchmark.naive import bench_image, require_bounds

    build = BuildRequest(
        root=request.root,
        model=request.model,
        options=with_metadata(request.options, request.root),
        base=request.base,
        accepted_licenses=request.accepted_licenses,
        naive=True,
        size=request.size,
    )
    table, document = bench_image(build, request.runs, request.state, log)
    show(document, table, as_json=request.json)
    if request.check:
        require_bounds(document)


def _gate(request: GateBenchRequest) -> None:
    from prebake.measure.gate.gate import MAX_PAIRS
    from prebake.measure.gate.limits import Limits
    from prebake.workflow.benchmark.gate import GateRequest, gate_image, require_pass

    build = BuildRequest(
        root=request.root,
        model=request.model,
        options=with_metadata(request.options, request.root),
        base=request.base,
        accepted_licenses=request.accepted_licenses,
        starts=1,
    )
    gate = GateRequest(
        build,
        request.baseline,
        Limits(request.max_regression, request.max_ttfi, request.max_image_size),
        max_pairs=request.max_pairs or MAX_PAIRS,
        state=request.state,
        network=request.network,
        allow_other_answers=request.allow_other_answers,
    )
    document = gate_image(gate, log)
    show(document, document["message"], as_json=request.json)
    require_pass(document)


COMMAND = Command("bench", HELP["bench"], add_flags, read, run)
