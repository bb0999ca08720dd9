"""How much the counters of one image differ, and what counting costs: ``python -m tests.benchmarks.counters.counted_starts
--image prebake/foley:cpu-sample --runs 5``; see docs/concepts/counters.md.

Plain and counted starts take turns. Both times are from the request for a container until it is removed after its first answer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

from prebake.docker.connection import ensure_engine
from prebake.measure.counters.comparison import compare_counters
from prebake.measure.counters.counters import Counters
from prebake.measure.counters.sentences import describe_comparison
from prebake.measure.start import time_first_answers
from prebake.measure.warmup_request import read_warmups
from prebake.workflow.start_check.counted_start import count_start
from prebake.workflow.start_check.launcher import EngineLauncher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="an image of the Engine")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    engine = ensure_engine()
    launcher = EngineLauncher(engine)
    warmups = read_warmups(launcher, options.image)

    def start() -> None:
        time_first_answers(launcher, options.image, warmups, steady_runs=0)

    start()  # fills the page cache
    plain, seconds, counts = [], [], []
    for _ in range(options.runs):
        plain.append(timed(start))
        seconds.append(timed(lambda: counts.append(count_start(engine, launcher, options.image, warmups))))
    print(f"seconds, plain:   {spread(plain)}\nseconds, counted: {spread(seconds)}")
    print_counters(counts)


def timed(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def spread(values: Sequence[float]) -> str:
    return f"median {median(values):.2f}, {min(values):.2f} to {max(values):.2f}"


def print_counters(counts: Sequence[Counters]) -> None:
    comparisons = [compare_counters(each, counts[0]) for each in counts]
    for position, value in enumerate(comparisons[0].values):
        values = [comparison.values[position].value for comparison in comparisons]
        print(f"{value.name}: {min(values)} to {max(values)} {value.unit}")
    for number, comparison in enumerate(comparisons[1:], 2):
        for line in describe_comparison(comparison):
            print(f"start {number}: {line}")


if __name__ == "__main__":
    main()
