"""The options of a build that are not part of the plan, as ``--plan`` shows them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from prebake.io.byte_sizes import format_bytes
from prebake.plan.planner import unaccepted_licenses
from prebake.plan.values import DEFAULT_STARTS, Plan

UNKNOWN_PLATFORM = "the platform of the Engine; no Engine answers here"


WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".onnx", ".data")


@dataclass(frozen=True)
class BuildOptions:
    """``outputs`` are places as ``--output`` names them, ``base`` is the choice of ``--base``, ``platform`` for example
    ``linux/amd64``. ``by_digest``: registries get no tag. ``cache_from`` are references of repositories that are only read."""

    outputs: tuple[str, ...] = ("docker",)
    by_digest: bool = False
    cache_from: tuple[str, ...] = ()
    base: str = "auto"
    compression: str = "auto"
    weights: str = "baked"
    starts: int = DEFAULT_STARTS
    accepted_licenses: Collection[str] = ()
    platform: str | None = None


def options_document(plan: Plan, options: BuildOptions) -> dict[str, Any]:
    """For programs. ``licenses_to_accept`` are the licenses that the build would refuse to go on without."""
    return {
        "outputs": list(options.outputs),
        "by_digest": options.by_digest,
        "cache_from": list(options.cache_from),
        "starts": options.starts if "docker" in options.outputs else 0,
        "base_choice": options.base,
        "compression": options.compression,
        "weights": options.weights,
        "platform": options.platform,
        "licenses_to_accept": unaccepted_licenses(plan, options.accepted_licenses),
    }


def options_lines(plan: Plan, options: BuildOptions) -> list[str]:
    """For people."""
    weights = "in the image" if options.weights == "baked" else f"in an image of their own, {plan.tag}-weights"
    accept = unaccepted_licenses(plan, options.accepted_licenses)
    return [
        f"  platform    {options.platform or UNKNOWN_PLATFORM}",
        f"  weights     {weights}; compression of layers: {options.compression}",
        *_memory_lines(plan),
        *(f"  output      {_place(place, plan, options)}" for place in options.outputs),
        *(f"  cache       {reference}, read only" for reference in options.cache_from),
        *(f"  license     you have to accept it: --accept-license {id}" for id in accept),
    ]


def _memory_lines(plan: Plan) -> list[str]:
    """What performance mode costs a container beside the weights that it maps."""
    if plan.spec.mode != "performance":
        return []
    if plan.target != "cpu":
        return ["  memory      performance mode: everything stays loaded"]
    size = format_bytes(sum(file.size for file in plan.files if file.path.endswith(WEIGHT_SUFFIXES)))
    return [f"  memory      performance mode: everything stays loaded; prepacked weights allocate at most {size}"]


def base_line(plan: Plan, choice: str) -> str:
    """The base image: the pinned one, or the one that replaces it."""
    pinned = plan.base.reference
    made = f"made from Debian's packages, instead of {pinned}"
    chosen = {"auto": pinned, "bootstrap": made}.get(choice, f"{choice}, instead of {pinned}")
    return f"  base        {chosen}"


def _place(place: str, plan: Plan, options: BuildOptions) -> str:
    if place == "docker":
        return f"docker:{plan.tag}, started {options.starts} times for the report"
    return f"{place}, by digest" if options.by_digest and place.startswith("registry:") else place
