"""All that a soak saw of a container, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import median

from prebake.measure.bench.limits import Bound
from prebake.measure.bench.statistics import percentile
from tests.long.growth import fit_growth
from tests.long.load import Tally
from tests.long.resources import Resources
from tests.long.section import table

MIB = 1 << 20
PARTS = 5
"""In how many parts of equal length the table shows the load."""
NAMED_PROBLEMS = 8


@dataclass(frozen=True)
class Plan:
    """``growth`` is in bytes, of memory at rest and of its line under load; ``count_growth`` is that of the lines of open files
    and threads. ``min_ratio``: at least the seconds of a fresh container's request over those of this one."""

    seconds: float
    warmup_seconds: float
    growth: int = 8 * MIB
    count_growth: int = 8
    min_ratio: float = 0.9
    compared_requests: int = 50


@dataclass(frozen=True)
class Rest:
    """A container without load. ``in_flight``: requests that it still counts as such."""

    resources: Resources
    in_flight: float


@dataclass(frozen=True)
class Sample:
    """``at`` is on the clock ``time.monotonic``."""

    at: float
    resources: Resources


@dataclass(frozen=True)
class Soaked:
    """All that was seen of the container."""

    plan: Plan
    began: float
    tally: Tally
    before: Rest
    samples: Sequence[Sample]
    after: Rest
    server_errors: Sequence[str]
    bound: Bound | None
    exit_code: int


def fit_line(soaked: Soaked, name: str) -> float:
    """The growth of a figure of ``Resources`` over the second half of the load."""
    return fit_growth([(sample.at, getattr(sample.resources, name)) for sample in soaked.samples])


def describe(soaked: Soaked) -> list[str]:
    """Tables of the run."""
    tally, plan = soaked.tally, soaked.plan
    per_second = sum(1 for at, _ in tally.latencies if at >= soaked.began) / plan.seconds
    return [
        *describe_requests(tally),
        *table(
            ("", "valid requests", "median", "95th percentile", "PSS", "of it anonymous", "open files", "threads"),
            [
                ("at rest, before", "", "", "", *cells(soaked.before.resources)),
                *(describe_part(soaked, part) for part in range(PARTS)),
                ("at rest, after", "", "", "", *cells(soaked.after.resources)),
            ],
        ),
        f"The warm-up took {plan.warmup_seconds:.0f} s, the load after it {plan.seconds:.0f} s with {per_second:.1f} valid "
        f"requests a second. Rows of the load have medians of its samples. PSS is the proportional set size of all processes "
        f"of the container; its anonymous part may grow by {plan.growth / MIB:g} MiB at rest.",
        "",
        f"The line through the second half of the load: {fit_line(soaked, 'anonymous') / MIB:+.1f} MiB of anonymous memory, "
        f"{fit_line(soaked, 'files'):+.1f} open files, {fit_line(soaked, 'threads'):+.1f} threads.",
        "",
        f"Later answers, {plan.compared_requests} in turn with a fresh container's: "
        f"{describe_ratio(soaked.bound) if soaked.bound else 'not compared, as there were problems'}.",
    ]


def describe_part(soaked: Soaked, part: int) -> tuple[str, ...]:
    length = (max(sample.at for sample in soaked.samples) - soaked.began) / PARTS
    first = soaked.began + part * length
    taken = sorted(seconds for at, seconds in soaked.tally.latencies if first <= at < first + length)
    # the last sample is at the very end of the last part
    there = [each.resources for each in soaked.samples if first < each.at <= first + length + 1e-6]
    times = (f"{median(taken) * 1e3:.1f} ms", f"{percentile(taken, 0.95) * 1e3:.1f} ms") if taken else ("", "")
    middle = cells(middle_of(there)) if there else ("", "", "", "")
    return (f"load, part {part + 1} of {PARTS}", str(len(taken)), *times, *middle)


def middle_of(samples: Sequence[Resources]) -> Resources:
    """The median of each figure."""
    return Resources(
        **{each.name: int(median(getattr(one, each.name) for one in samples)) for each in fields(Resources)}
    )


def cells(resources: Resources) -> tuple[str, ...]:
    return (
        f"{resources.pss / MIB:.1f} MiB",
        f"{resources.anonymous / MIB:.1f} MiB",
        str(resources.files),
        str(resources.threads),
    )


def describe_requests(tally: Tally) -> list[str]:
    problems = {kind: sum(n for (name, _), n in tally.problems.items() if name == kind) for kind in tally.requests}
    rows = [
        (kind, f"{number:,}", f"{tally.busy[kind]:,}", problems[kind])
        for kind, number in sorted(tally.requests.items())
    ]
    head = ("load, warm-up included", "requests", "refused by a full queue", "wrong answers and unexpected statuses")
    return table(head, rows)


def describe_problems(tally: Tally) -> list[str]:
    found = [f"{kind}: {problem}, {n} times" for (kind, problem), n in tally.problems.most_common(NAMED_PROBLEMS)]
    others = len(tally.problems) - len(found)
    return [*found, *([f"{others} other kinds of problems"] if others else [])]


def describe_ratio(bound: Bound) -> str:
    low, high = bound.interval
    return f"fresh / loaded {bound.ratio:.2f} (95% interval {low:.2f} to {high:.2f}), at least {bound.minimum:g}: {bound.state}"
