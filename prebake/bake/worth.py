"""Which way to serve something pays, by what was measured: seconds until a few answers, against bytes to pull."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ANSWERS = 10
"""A way is judged by the time until a fresh container has given so many: opening counts, and so does every answer. Few, as a
service that scales to none starts containers that give few; more than one, as a way that answers slowly is none."""
BANDWIDTH = 125e6
"""Bytes a second of a pull, a network of 1 Gbit/s: what a way adds to the image has to save more than its bytes take."""
GRAPH = "graph"
"""The way without what was compiled apart: a component's own graph."""
MARGIN = 0.05
"""Less than this share of the time is no gain: two runs of the same differ by as much."""


@dataclass(frozen=True)
class Figures:
    """A way as it was measured: medians in seconds (``prebake.bake.trial``), and the bytes that it adds to the image."""

    open: float
    first: float
    later: float
    bytes: int = 0

    @property
    def seconds(self) -> float:
        """Until ``ANSWERS`` are given."""
        return self.open + self.first + (ANSWERS - 1) * self.later

    @property
    def pull(self) -> float:
        """Seconds."""
        return self.bytes / BANDWIDTH

    def to_dict(self) -> dict[str, float | int]:
        told = {"open": self.open, "first": self.first, "later": self.later, "seconds": self.seconds, "pull": self.pull}
        return {**{name: round(value, 4) for name, value in told.items()}, "bytes": self.bytes}


def choose(ways: Mapping[str, Figures]) -> str:
    """The name of the one that pays; ``ways`` begin with the simplest, which stands unless another saves time that is worth
    its bytes."""
    names = list(ways)
    chosen = names[0]
    for name in names[1:]:
        saved = ways[chosen].seconds - ways[name].seconds
        if saved > MARGIN * ways[chosen].seconds and saved > ways[name].pull - ways[chosen].pull:
            chosen = name
    return chosen


def judge(ways: Mapping[str, Figures], way: str, chosen: str) -> dict[str, object]:
    """For what is served by ``way``, or by none of these but the first."""
    return {"way": way, "without": next(iter(ways)), **explain(ways, chosen)}


def explain(ways: Mapping[str, Figures], chosen: str) -> dict[str, object]:
    """For manifests and reports: what was measured, and why the others were left."""
    left = {
        name: f"{ways[name].seconds - ways[chosen].seconds:+.3f} s until {ANSWERS} answers"
        + (f", and {ways[name].bytes} bytes to pull" if ways[name].bytes else "")
        for name in ways
        if name != chosen
    }
    return {"chosen": chosen, "ways": {name: each.to_dict() for name, each in ways.items()}, "left": left}
