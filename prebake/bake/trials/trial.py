"""Startup trials: the time until each of several candidates has answered. Each starts in fresh processes, in turn; medians count.

A second start in one process would be faster: its libraries are loaded and its arena has grown. A container starts only once.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple, TypeVar

import onnxruntime as ort

from entrypoints.runtime.session_options import share_arena
from prebake.bake.errors import BakeError
from prebake.bake.weights.numpy_arrays import Array

Result = TypeVar("Result")
Infer = Callable[[], object]
"""Answers one request."""
TRIAL_ROUNDS = 3
LATER_REQUESTS = 3
"""Requests after the first one."""


class StartupTiming(NamedTuple):
    """Seconds until a candidate is open, of its first answer, and of a later one."""

    open: float
    first: float
    later: float

    @property
    def to_first(self) -> float:
        """Until the first answer."""
        return self.open + self.first


def time_startup(open_candidate: Callable[[], Infer]) -> StartupTiming:
    """Time a candidate in this process: ``open_candidate`` opens it, and returns the function that answers requests."""
    begin = time.perf_counter()
    infer = open_candidate()
    seconds = [time.perf_counter() - begin]
    for _ in range(1 + LATER_REQUESTS):
        begin = time.perf_counter()
        infer()
        seconds.append(time.perf_counter() - begin)
    return StartupTiming(seconds[0], seconds[1], median(seconds[2:]))


def run_in_fresh_process(function: Callable[..., Result], *arguments: object) -> Result:
    """The result of ``function`` in a new process, which has opened and compiled nothing before. Its memory, also that of a
    device, is free afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="trial-") as scratch,
        ProcessPoolExecutor(1, get_context("spawn"), _set_empty_cache, (scratch,)) as pool,
    ):
        return pool.submit(function, *arguments).result()


def run_trials(
    candidates: Mapping[str, Callable[[], StartupTiming]], rounds: int = TRIAL_ROUNDS
) -> dict[str, StartupTiming]:
    """The median timing of each candidate. Candidates take turns, so that a change of the machine's speed affects all of them."""
    timings: dict[str, list[StartupTiming]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, time_candidate in candidates.items():
            timings[name].append(run_in_fresh_process(time_candidate))
    return {name: StartupTiming(*map(median, zip(*rows, strict=True))) for name, rows in timings.items()}


def _set_empty_cache(folder: str) -> None:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder


SessionOpener = Callable[[], ort.InferenceSession]
"""Has to be picklable, for another process: a module's function, or a ``partial`` of one."""


def run_graph_trials(
    openers: Mapping[str, SessionOpener], inputs: Mapping[str, Array], component: str
) -> dict[str, StartupTiming]:
    """The timing of each candidate session of ``component``, which answers ``inputs``.

    Raises BakeError if a session cannot be opened or run.
    """
    try:
        return run_trials({name: partial(time_graph, opener, inputs) for name, opener in openers.items()})
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"a trial start of {component} failed: {error}",
            next_action="check whether the graph opens and runs on this machine, or set `session: {prepack: true}` or `false` in "
            "image.yaml, so that the compile stage makes no trial",
        ) from error


def time_graph(open_graph: SessionOpener, inputs: Mapping[str, Array]) -> StartupTiming:
    """Time in this process, which gets the arena that the container makes before it opens the first session."""
    share_arena()

    def open_candidate() -> Infer:
        session = open_graph()
        # The exporter drops an input that nothing depends on.
        given = {node.name: inputs[node.name] for node in session.get_inputs()}
        return lambda: session.run(None, given)

    return time_startup(open_candidate)
