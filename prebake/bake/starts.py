"""How soon a model in torch answers, with what was compiled and without: each way in a process of its own."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from entrypoints.ahead import install
from entrypoints.compiled import compile_blocks, load_cache
from entrypoints.contract import Network
from entrypoints.networks import Parts
from prebake.bake.job import Job
from prebake.bake.warmed import open_model

EAGER, AOT, CACHE = "eager", "aot", "compile-cache"
FASTER = 0.95
"""What counts as faster, of eager's seconds: less is within what two runs differ by."""


@dataclass(frozen=True)
class Figures:
    """Seconds. ``first``: what was compiled is opened and the warm-up request answered, weights being there.
    ``later``: the least of three answers after it."""

    first: float
    later: float

    def describe(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Way:
    """One way to compute blocks: by the folders of libraries, by component and block, or the file of each component's cache."""

    form: str
    libraries: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    caches: Mapping[str, Path] = field(default_factory=dict)

    @property
    def compiled(self) -> list[str]:
        """The components of which something is compiled."""
        return [*self.libraries, *self.caches]


def choose(figures: Mapping[str, Figures]) -> str:
    """What was compiled and answers first the soonest; eager where that is neither sooner nor faster later on."""
    eager = figures[EAGER]
    compiled = {form: each for form, each in figures.items() if form != EAGER}
    if not compiled:
        return EAGER
    best = min(compiled, key=lambda form: compiled[form].first)
    sooner = compiled[best].first < FASTER * eager.first
    return best if sooner or compiled[best].later < FASTER * eager.later else EAGER


def in_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:
    """What ``function`` returns in a process that has compiled nothing, and holds neither weights nor a device afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="start-") as scratch,
        ProcessPoolExecutor(1, get_context("spawn"), _forget, (scratch,)) as pool,
    ):
        return pool.submit(function, *arguments).result()


def time_start(job: Job, parts: Mapping[str, Parts], device: str, way: Way) -> Figures:
    """To be called in a fresh process."""
    opened = open_model(job, parts, device)
    start = time.perf_counter()
    _take(way, opened.networks, device)
    opened.ask()
    first = time.perf_counter() - start
    return Figures(first, min(_seconds(opened.ask) for _ in range(3)))


def _forget(scratch: str) -> None:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch


def _take(way: Way, networks: Mapping[str, Network], device: str) -> None:
    for name, chosen in way.libraries.items():
        install(networks[name].blocks, chosen, device, _refuse)
    for name, cache in way.caches.items():
        load_cache(cache.read_bytes())
        compile_blocks(networks[name].blocks)


def _refuse(difference: str) -> None:
    raise AssertionError(f"the warm-up request is another than it was: {difference}")


def _seconds(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return time.perf_counter() - start
