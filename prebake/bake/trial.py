"""How soon each of several ways answers: fresh processes, in turn, medians.

What a process did before makes the next start faster: its libraries are loaded, its arena is grown. A container does it once.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")
Ask = Callable[[], object]
ROUNDS = 3
LATER = 3
"""Answers after the first one."""


class Seconds(NamedTuple):
    """Until a way is open, of its first answer, and of a later one."""

    open: float
    first: float
    later: float

    @property
    def to_first(self) -> float:
        """Until the first answer."""
        return self.open + self.first


def time_answers(open_way: Callable[[], Ask]) -> Seconds:
    """In this process; ``open_way`` gives what answers."""
    begin = time.perf_counter()
    ask = open_way()
    seconds = [time.perf_counter() - begin]
    for _ in range(1 + LATER):
        begin = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - begin)
    return Seconds(seconds[0], seconds[1], median(seconds[2:]))


def in_fresh_process(function: Callable[..., Result], *arguments: object) -> Result:
    """What ``function`` returns in a process that has opened and compiled nothing, and holds neither weights nor a device
    afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="trial-") as scratch,
        ProcessPoolExecutor(1, get_context("spawn"), _forget, (scratch,)) as pool,
    ):
        return pool.submit(function, *arguments).result()


def try_in_turn(ways: Mapping[str, Callable[[], Seconds]], rounds: int = ROUNDS) -> dict[str, Seconds]:
    """Medians by way. Each is called in fresh processes, in turn with the others, so that a drift of the machine falls on all."""
    found: dict[str, list[Seconds]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(in_fresh_process(way))
    return {name: Seconds(*map(median, zip(*own, strict=True))) for name, own in found.items()}


def _forget(scratch: str) -> None:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch
