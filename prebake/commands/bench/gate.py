"""``prebake bench`` with a baseline or limits: the gate, which judges the start of the image."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

from prebake.commands.bench.benched_image import BenchedImage
from prebake.commands.bench.naive import NAIVE_FLAGS
from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments
from prebake.commands.shared.output import log, show
from prebake.spec.image.gate import parse_duration, parse_share, parse_size

LIMITS = ("max_regression", "max_ttfi", "max_image_size")
GATE_FLAGS = ("gate", "baseline", *LIMITS)
"""Each of these makes the command a gate."""


@dataclass(frozen=True)
class GateBenchRequest:
    """``baseline``: None if only the image's own limits are checked. The limits are None unless they were given:
    ``max_regression`` a share, ``max_ttfi`` in seconds, ``max_image_size`` in bytes. ``max_pairs``: None for the default.
    ``network``: bits per second at which an absent image is pulled."""

    image: BenchedImage
    baseline: str | None = None
    max_regression: float | None = None
    max_ttfi: float | None = None
    max_image_size: int | None = None
    max_pairs: int | None = None
    network: int | None = None
    allow_other_answers: bool = False
    json: bool = False


def add_flags(group: argparse._ArgumentGroup) -> None:
    _add_baseline(group)
    _add_limits(group)
    _add_starts(group)


def _add_baseline(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--baseline",
        metavar="REF",
        help="compare with this image of the same model: a tag of the Engine, HOST/PATH:TAG or HOST/PATH@DIGEST at a registry "
        "(it is pulled), or a git revision (it is built)",
    )
    group.add_argument(
        "--gate",
        action="store_true",
        help="judge by the limits of image.yaml alone, without a baseline; not with the other limits",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-regression",
        metavar="PERCENT",
        type=_limit(parse_share),
        help="how much longer than the baseline's the time to the first answer may be, such as 10%% (default: `gate` of "
        "image.yaml, else 10%%)",
    )
    group.add_argument(
        "--max-ttfi",
        metavar="TIME",
        type=_limit(parse_duration),
        help="the longest time to the first answer, such as 2s or 800ms (default: `gate` of image.yaml, else no limit)",
    )
    group.add_argument(
        "--max-image-size",
        metavar="SIZE",
        type=_limit(parse_size),
        help="the largest size of the image's unpacked layers, such as 1.5GB (default: `gate` of image.yaml, else no limit)",
    )


def _add_starts(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-pairs",
        metavar="N",
        type=flags.positive_int,
        help="stop after N pairs of starts even if the verdict is unclear; a clear verdict needs at least 8 (default: 40)",
    )
    group.add_argument(
        "--network",
        metavar="RATE",
        type=flags.network,
        help="with --state absent: the bit rate of the link to the registry, such as 10Gbps (default: 1Gbps)",
    )
    group.add_argument(
        "--allow-other-answers",
        action="store_true",
        help="compare with a baseline that has another warm-up request or answer",
    )


def _limit(parse: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def read(arguments: Arguments, image: BenchedImage) -> GateBenchRequest:
    belongs = "it belongs to the comparison with the naive image, which --baseline and limits replace"
    arguments.refuse_idle(NAIVE_FLAGS, belongs)
    if "gate" in arguments:
        arguments.refuse_idle(("baseline", *LIMITS), "--gate judges by image.yaml alone; leave --gate out")
    if "baseline" not in arguments:
        arguments.refuse_idle(("max_regression", "allow_other_answers"), "give --baseline, or leave it out")
    if arguments.get("state") != "absent":
        arguments.refuse_idle(("network",), "only --state absent pulls the image")
    own = arguments.pick("baseline", *LIMITS, "max_pairs", "network", "allow_other_answers", "json")
    return GateBenchRequest(image, **own)


def run(request: GateBenchRequest) -> None:
    from prebake.measure.gate.gate import MAX_PAIRS
    from prebake.measure.gate.limits import Limits
    from prebake.workflow.benchmark.gate import GateRequest, gate_image, require_pass

    gate = GateRequest(
        replace(request.image.build_request(), starts=1),
        request.baseline,
        Limits(request.max_regression, request.max_ttfi, request.max_image_size),
        max_pairs=request.max_pairs or MAX_PAIRS,
        state=request.image.state,
        network=request.network,
        allow_other_answers=request.allow_other_answers,
    )
    document = gate_image(gate, log)
    show(document, document["message"], as_json=request.json)
    require_pass(document)
