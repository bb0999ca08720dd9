"""Which form of a component a container opens soonest and answers by, chosen from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from prebake.bake.trial import Trial

ANSWERS = 10
"""A form is judged by the time until a fresh container has given so many: opening counts, and so does every answer."""
BANDWIDTH = 125e6
"""Bytes a second of a pull, a network of 1 Gbit/s: what a form adds to the image has to save more than its bytes take."""
MARGIN = 0.05
"""Less than this share of the time is no gain: two runs of the same differ by as much."""


@dataclass(frozen=True)
class Measured:
    """A form as it was measured: medians in seconds, and the bytes that it adds to the image."""

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
        return self.bytes / BANDWIDTH

    def to_dict(self) -> dict[str, object]:
        told = {"open": self.open, "first": self.first, "later": self.later, "seconds": self.seconds}
        return {**{name: round(value, 4) for name, value in told.items()}, "bytes": self.bytes}


def summarise(trials: list[Trial], size: int = 0) -> Measured:
    opened, first, later = (median(each) for each in zip(*trials, strict=True))
    return Measured(opened, first, later, size)


def choose(forms: Mapping[str, Measured]) -> str:
    """The name of the form to open; ``forms`` begin with the simplest, which stands unless another saves time that is worth
    its bytes."""
    names = list(forms)
    chosen = names[0]
    for name in names[1:]:
        saved = forms[chosen].seconds - forms[name].seconds
        if saved > MARGIN * forms[chosen].seconds and saved > forms[name].pull - forms[chosen].pull:
            chosen = name
    return chosen


def explain(forms: Mapping[str, Measured], chosen: str) -> dict[str, object]:
    """For the manifest and the report: what was measured, and why the others were left."""
    left = {
        name: f"{forms[name].seconds - forms[chosen].seconds:+.3f} s until {ANSWERS} answers"
        + (f", and {forms[name].bytes} bytes to pull" if forms[name].bytes else "")
        for name in forms
        if name != chosen
    }
    return {"chosen": chosen, "forms": {name: each.to_dict() for name, each in forms.items()}, "left": left}
