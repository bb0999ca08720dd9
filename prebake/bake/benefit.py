"""Whether an artifact pays its bytes: what it saves against the time that a pull takes for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import onnxruntime as ort

from prebake.bake.parity import Case

BYTES_PER_SECOND = 125_000_000
"""Of a pull: a network of 1 Gbit/s."""
REQUESTS = 100
"""Runs after the first that an artifact has to earn its bytes in."""
_ROUNDS, _RUNS = 5, 10

Open = Callable[[], ort.InferenceSession]


def measure_benefit(with_it: Open, without: Open, case: Case, size: int) -> dict[str, float | int]:
    """Seconds with an artifact of ``size`` bytes and without, each the median of five rounds in turn: ``first`` to open a
    session and run the case once, ``run`` to run it again."""
    rounds = [(_time(with_it, case), _time(without, case)) for _ in range(_ROUNDS)]
    seconds = [[median(each[way][part] for each in rounds) for part in (0, 1)] for way in (0, 1)]
    return describe_benefit(seconds[0], seconds[1], size)


def describe_benefit(with_it: Sequence[float], without: Sequence[float], size: int) -> dict[str, float | int]:
    """The figures of an artifact of ``size`` bytes; ``with_it`` and ``without``: the seconds of a first answer and of a later
    one."""
    (first, run), (first_without, run_without) = with_it, without
    return {
        "first_seconds": round(first, 6),
        "first_seconds_without": round(first_without, 6),
        "run_seconds": round(run, 6),
        "run_seconds_without": round(run_without, 6),
        "saved_seconds": round(first_without - first + REQUESTS * (run_without - run), 6),
        "pull_seconds": round(size / BYTES_PER_SECOND, 6),
        "bytes": size,
    }


def pays(figures: Mapping[str, float | int]) -> bool:
    """Whether the start and a hundred requests save more than the pull takes."""
    return surplus(figures) > 0


def surplus(figures: Mapping[str, float | int]) -> float:
    """Seconds: what is saved beyond what the pull takes."""
    return figures["saved_seconds"] - figures["pull_seconds"]


def _time(open_session: Open, case: Case) -> tuple[float, float]:
    begin = time.perf_counter()
    session = open_session()
    names = {each.name for each in session.get_inputs()}
    inputs = {name: each for name, each in case.inputs.items() if name in names}
    session.run(None, inputs)
    first = time.perf_counter() - begin
    runs = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        session.run(None, inputs)
        runs.append(time.perf_counter() - begin)
    return first, median(runs)
