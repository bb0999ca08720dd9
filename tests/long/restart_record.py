"""The record of a run of restarts, and its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from prebake.measure.bench.statistics import percentile
from tests.long.section import Outcome, table

FRESH = "a new container"
SIGTERM, IN_A_START, IN_A_REQUEST = "SIGTERM", "SIGKILL in the middle of a start", "SIGKILL in the middle of a request"
WAYS = (SIGTERM, IN_A_START, IN_A_REQUEST)
"""How a container ends, in this order."""
MIN_HITS = {IN_A_START: 0.5, IN_A_REQUEST: 1.0}
"""The share of kills that have to come at their time. A start that is shorter than all before it may be over by then."""
NAMED_OUTLIERS = 10


@dataclass(frozen=True)
class Restart:
    """A start: its number, how the container had ended before, and the seconds until it was ready (None if it was not)."""

    number: int
    after: str
    ready: float | None
    problem: str = ""


@dataclass
class Record:
    """All starts of a run. ``hits`` counts, by way, the kills that came in the middle of a start or of a request."""

    restarts: list[Restart] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)

    @property
    def ready(self) -> list[float]:
        return [each.ready for each in self.restarts if each.ready is not None]


def summarize(record: Record, left: Sequence[str]) -> Outcome:
    failed = [f"start {each.number}, after {each.after}: {each.problem}" for each in record.restarts if each.problem]
    missed = [
        f"{way}: only {record.hits[way]} of {record.kills[way]} kills came at that time"
        for way, share in MIN_HITS.items()
        if record.hits[way] < share * record.kills[way]
    ]
    ways = [(name, [each for each in record.restarts if each.after == name]) for name in (FRESH, *WAYS)]
    lines = [
        *table(
            ("started after", "starts", "median until ready", "95th percentile", "99th", "maximum", "problems"),
            [describe_way(name, restarts) for name, restarts in (*ways, ("all", record.restarts))],
        ),
        f"{len(record.containers)} containers. In the middle of a start: {record.hits[IN_A_START]} of "
        f"{record.kills[IN_A_START]} kills; in the middle of a request: {record.hits[IN_A_REQUEST]} of "
        f"{record.kills[IN_A_REQUEST]} kills. Left behind: {len(left)}.",
        "",
        *describe_outliers(record.restarts),
    ]
    return Outcome(lines, [*failed[:20], *missed, *record.findings[:20], *(f"left behind: {each}" for each in left)])


def describe_way(name: str, restarts: Sequence[Restart]) -> tuple[object, ...]:
    times = sorted(each.ready for each in restarts if each.ready is not None)
    figures = [f"{percentile(times, share):.2f} s" for share in (0.5, 0.95, 0.99, 1)] if times else ["", "", "", ""]
    return (name, len(restarts), *figures, sum(1 for each in restarts if each.problem))


def describe_outliers(restarts: Sequence[Restart]) -> list[str]:
    """Starts beyond the third quartile by more than three times the interquartile range (Tukey's "far out")."""
    times = sorted(each.ready for each in restarts if each.ready is not None)
    if not times:
        return []
    low, high = percentile(times, 0.25), percentile(times, 0.75)
    limit = high + 3 * (high - low)
    far = sorted(((each.ready or 0, each) for each in restarts if (each.ready or 0) > limit), key=lambda pair: -pair[0])
    named = "; ".join(f"start {each.number} after {each.after}: {ready:.2f} s" for ready, each in far[:NAMED_OUTLIERS])
    return [f"Outliers (above {limit:.2f} s): {len(far)}." + (f" {named}." if named else "")]
