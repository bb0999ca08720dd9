"""What a build was asked for beside the plan's own inputs, as the plan shows it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from prebake.plan.making import unaccepted_licences
from prebake.plan.values import STARTS, Plan

ENGINE = "the Engine's own; none answers here"


@dataclass(frozen=True)
class Asked:
    """Places as ``--output`` names them, the choice of ``--base``, and so on. ``platform`` is such as ``linux/amd64``."""

    outputs: tuple[str, ...] = ("docker",)
    base: str = "auto"
    compression: str = "auto"
    weights: str = "baked"
    starts: int = STARTS
    accepted_licences: Collection[str] = ()
    platform: str | None = None


def asked_document(plan: Plan, asked: Asked) -> dict[str, Any]:
    """For programs; ``licences_to_accept`` are those that the build would ask for."""
    return {
        "outputs": list(asked.outputs),
        "starts": asked.starts if "docker" in asked.outputs else 0,
        "base_choice": asked.base,
        "compression": asked.compression,
        "weights": asked.weights,
        "platform": asked.platform,
        "licences_to_accept": unaccepted_licences(plan, asked.accepted_licences),
    }


def asked_lines(plan: Plan, asked: Asked) -> list[str]:
    """For people."""
    weights = "in the image" if asked.weights == "baked" else f"an image of their own, {plan.tag}-weights"
    accept = unaccepted_licences(plan, asked.accepted_licences)
    return [
        f"  platform    {asked.platform or ENGINE}",
        f"  weights     {weights}; layers packed: {asked.compression}",
        *(f"  goes to     {_place(place, plan, asked.starts)}" for place in asked.outputs),
        *(f"  licence     has to be accepted: --accept-licence {id}" for id in accept),
    ]


def base_line(plan: Plan, choice: str) -> str:
    """The base image: the one that the lock pins, or the one that stands in for it."""
    pinned = plan.base.reference
    made = f"one made from Debian's packages, instead of {pinned}"
    chosen = {"auto": pinned, "bootstrap": made}.get(choice, f"{choice}, instead of {pinned}")
    return f"  base        {chosen}"


def _place(place: str, plan: Plan, starts: int) -> str:
    return f"docker:{plan.tag}, started {starts} times for the report" if place == "docker" else place
