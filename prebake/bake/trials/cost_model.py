"""Which candidate pays. The rule compares the measured seconds until a fresh container has answered a few requests with the time
to pull the candidate's bytes. Every trial of the bake and of ``prebake compile`` uses this rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AMORTIZED_REQUESTS = 10
"""Candidates are compared by startup time plus this many requests: the one parameter of the rule. Small, because scale-to-zero
containers serve few; more than one, so that a fast start cannot hide slow inference."""
PULL_BYTES_PER_SECOND = 125e6
"""A network of 1 Gbit/s. A candidate has to save more than the bytes that it adds to the image take to pull."""
BASELINE = "graph"
"""The candidate without a compiled artifact: the component's own graph."""
MIN_GAIN_SHARE = 0.05
"""A smaller share of the time does not count as a gain: two runs of the same candidate differ by as much."""


@dataclass(frozen=True)
class Cost:
    """The measurements of a candidate: medians in seconds (``prebake.bake.trials.trial``), and the bytes that it adds to the
    image."""

    open: float
    first: float
    later: float
    bytes: int = 0

    @property
    def total_seconds(self) -> float:
        """Until ``AMORTIZED_REQUESTS`` are answered."""
        return self.open + self.first + (AMORTIZED_REQUESTS - 1) * self.later

    @property
    def pull_seconds(self) -> float:
        return self.bytes / PULL_BYTES_PER_SECOND

    def to_dict(self) -> dict[str, float | int]:
        """The form of manifests and reports."""
        seconds = {
            "open": self.open,
            "first": self.first,
            "later": self.later,
            "seconds": self.total_seconds,
            "pull": self.pull_seconds,
        }
        return {**{name: round(value, 4) for name, value in seconds.items()}, "bytes": self.bytes}


def select(candidates: Mapping[str, Cost]) -> str:
    """The name of the candidate that pays. The first is the simplest: it is chosen unless another saves more time than the pull
    of its bytes takes."""
    names = list(candidates)
    selected = names[0]
    for name in names[1:]:
        saved = candidates[selected].total_seconds - candidates[name].total_seconds
        pull = candidates[name].pull_seconds - candidates[selected].pull_seconds
        if saved > MIN_GAIN_SHARE * candidates[selected].total_seconds and saved > pull:
            selected = name
    return selected


def explain_choice(candidates: Mapping[str, Cost], artifact: str, selected: str) -> dict[str, object]:
    """``explain_candidates`` for the candidate ``artifact``: also its name and that of the first, which is without it."""
    return {"candidate": artifact, "baseline": next(iter(candidates)), **explain_candidates(candidates, selected)}


def explain_candidates(candidates: Mapping[str, Cost], selected: str) -> dict[str, object]:
    """The measurements, and why the others were not selected: for manifests and reports."""
    costs = {name: cost.to_dict() for name, cost in candidates.items()}
    rejected = {name: _compare(cost, candidates[selected]) for name, cost in candidates.items() if name != selected}
    return {"chosen": selected, "candidates": costs, "rejected": rejected}


def _compare(cost: Cost, selected: Cost) -> str:
    seconds = f"{cost.total_seconds - selected.total_seconds:+.3f} s until {AMORTIZED_REQUESTS} answers"
    return f"{seconds}, and {cost.bytes} bytes to pull" if cost.bytes else seconds
