"""The pictures of the gate's page as shapes, in pixels: every start a dot, the paired ratios, the phases of both images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from prebake.measure.gate_report.names import MAX_NAME, clean
from prebake.measure.gate_report.quantities import format_interval, format_ratio, format_time, in_parentheses
from prebake.measure.gate_report.sentences import describe_starts
from prebake.measure.report.waterfall import choose_ticks, format_tick

Document = Mapping[str, Any]

WIDTH, LEFT, RIGHT, TOP = 820, 96, 24, 26
STRIP = 96
"""The height of one image's dots."""
RADIUS = 3.5
AXIS = 30
PHASE_LEFT, PHASE_RIGHT, PHASE_ROW, PHASE_BAR = 230, 110, 30, 11
IMAGES = (("image", "new"), ("baseline", "baseline"))


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A vertical line."""

    x: float
    top: float
    bottom: float
    kind: str


@dataclass(frozen=True)
class Label:
    x: float
    y: float
    text: str
    kind: str = ""
    anchor: str = "start"


Shape = Dot | Box | Line | Label


@dataclass(frozen=True)
class Plot:
    """A picture with its title and its text alternative; the shapes are drawn in this order."""

    name: str
    title: str
    description: str
    height: float
    shapes: tuple[Shape, ...]
    width: int = WIDTH


@dataclass(frozen=True)
class Scale:
    """From values to x."""

    low: float
    high: float
    left: float
    right: float

    def place(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)


def make_scale(values: Sequence[float], left: float = LEFT, right: float = WIDTH - RIGHT) -> Scale:
    """A scale of all values with a margin; of equal values a narrow one around them."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return Scale(low - margin, high + margin, left, right)


def plot_starts(document: Document) -> Plot:
    """The times until the first answer: a dot for each start, stacked where they are close, with quartiles and median."""
    images = IMAGES if document["baseline"] else IMAGES[:1]
    times = {name: [pair[name]["ttfi_seconds"] for pair in document["starts"]] for name, _ in images}
    medians = {"image": document["ttfi_seconds"], "baseline": document["baseline_ttfi_seconds"]}
    scale = make_scale([*(medians[name] for name, _ in images), *(each for found in times.values() for each in found)])
    bottom = TOP + STRIP * len(images)
    shapes: list[Shape] = list(_axis(scale, TOP, bottom, "s"))
    for number, (name, title) in enumerate(images):
        base = TOP + STRIP * (number + 1) - 14
        titles = [
            f"pair {pair['pair']}, {title}: {format_time(pair[name]['ttfi_seconds'])}" for pair in document["starts"]
        ]
        shapes.append(Label(LEFT - 10, base, title, "name", "end"))
        shapes += _spread(scale, times[name], base, STRIP - 26, name)
        shapes += _stack(scale, times[name], titles, base, STRIP - 30, name)
        shapes.append(Line(scale.place(medians[name]), base - STRIP + 26, base + 10, f"median {name}"))
    return Plot(
        "starts", "Every start: time until the first answer", describe_starts(document), bottom + AXIS, tuple(shapes)
    )


def plot_ratios(document: Document) -> Plot:
    """The ratio of each pair, new over baseline, with the interval of their median and the limit."""
    pairs = [pair for pair in document["starts"] if pair["baseline"]["ttfi_seconds"]]
    ratios = [pair["image"]["ttfi_seconds"] / pair["baseline"]["ttfi_seconds"] for pair in pairs]
    regression = next((check for check in document["checks"] if check["name"] == "regression"), None)
    limit = regression["limit"] if regression else None
    low, high = document["ratio_interval_95"]
    known = [value for value in (document["ratio"], limit, low, high) if value is not None]
    scale = make_scale([1.0, *ratios, *known])
    bottom = TOP + STRIP
    begin, end = (
        scale.place(value) if value is not None else edge for value, edge in ((low, scale.left), (high, scale.right))
    )
    titles = [f"pair {pair['pair']}: {ratio:.2f} times" for pair, ratio in zip(pairs, ratios, strict=True)]
    shapes: list[Shape] = [
        Box(begin, TOP, end - begin, STRIP, "interval", f"95% interval: {format_interval((low, high))}"),
        *_axis(scale, TOP, bottom, "times"),
        Line(scale.place(1.0), TOP, bottom, "same"),
        Label(scale.place(1.0), TOP - 8, "as fast", "light", "middle"),
        *_stack(scale, ratios, titles, bottom - 14, STRIP - 30, "ratio"),
        Line(scale.place(document["ratio"]), TOP, bottom, "median ratio"),
    ]
    if limit is not None:
        near = abs(scale.place(limit) - scale.place(1.0)) < 110  # the labels would overlap
        shapes.append(Line(scale.place(limit), TOP, bottom, "limit"))
        shapes.append(
            Label(
                scale.place(limit) + (30 if near else 0),
                TOP - 8,
                f"at most {limit:.2f}",
                "bad",
                "start" if near else "middle",
            )
        )
    allowed = "" if limit is None else f" At most {limit:.2f} is allowed."
    interval = in_parentheses(format_interval((low, high)))
    median = f"{format_ratio(document['ratio'])}{interval}"
    description = f"Ratios of {len(ratios)} pairs, new over baseline. Median {median}.{allowed}"
    return Plot("ratios", "Each pair: new over baseline", description, bottom + AXIS, tuple(shapes))


def plot_phases(document: Document) -> Plot:
    """The median duration of each phase in both images."""
    phases = document["phases"]
    longest = max((phase[key] or 0.0 for phase in phases for key in ("seconds", "baseline_seconds")), default=0.0)
    scale = Scale(0.0, longest or 1.0, PHASE_LEFT, WIDTH - PHASE_RIGHT)
    bottom = TOP + PHASE_ROW * len(phases)
    shapes: list[Shape] = list(_axis(scale, TOP, bottom, "s"))
    for number, phase in enumerate(phases):
        top = TOP + number * PHASE_ROW + 3
        shapes.append(
            Label(PHASE_LEFT - 10, top + 15, clean(phase["name"], 34), "name" if phase["moved"] else "", "end")
        )
        for bar, (key, kind, title) in enumerate(
            (("seconds", "image", "new"), ("baseline_seconds", "baseline", "baseline"))
        ):
            if (seconds := phase[key]) is not None:
                words = f"{clean(phase['name'], MAX_NAME)}, {title}: {format_time(seconds)}"
                width = max(scale.place(seconds) - PHASE_LEFT, 1.0)
                shapes.append(Box(PHASE_LEFT, top + bar * (PHASE_BAR + 1), width, PHASE_BAR, kind, words))
        shapes += _difference(phase, scale, top)
    moved = ", ".join(clean(phase["name"], MAX_NAME) for phase in phases if phase["moved"]) or "none"
    description = f"Median duration of {len(phases)} phases in both images. Moved: {moved}."
    return Plot("phases", "Phases of both images", description, bottom + AXIS, tuple(shapes))


def _difference(phase: Document, scale: Scale, top: float) -> Iterator[Shape]:
    """The difference of a phase that moved, right of its longer bar."""
    change = phase["difference_seconds"]
    if phase["moved"] and change is not None:
        end = scale.place(max(phase["seconds"] or 0.0, phase["baseline_seconds"] or 0.0))
        yield Label(end + 8, top + 15, f"{change:+.3f} s", "bad" if change > 0 else "good")


def _axis(scale: Scale, top: float, bottom: float, unit: str) -> Iterator[Shape]:
    """Grid lines with their values below. The ticks are multiples of a round number."""
    ticks = choose_ticks(scale.high - scale.low, 9)
    step = ticks[1] if len(ticks) > 1 else scale.high - scale.low or 1.0
    first = -(-scale.low // step)
    values = [round((first + number) * step, 9) for number in range(len(ticks) + 1)]
    for value in (value for value in values if scale.low <= value <= scale.high):
        yield Line(scale.place(value), top, bottom, "grid")
        yield Label(scale.place(value), bottom + 16, f"{format_tick(value, (0.0, step))} {unit}", "light", "middle")


def _stack(
    scale: Scale, values: Sequence[float], titles: Sequence[str], base: float, room: float, kind: str
) -> Iterator[Shape]:
    """A dot for each value, above the dots that would be at the same place."""
    columns = [round(scale.place(value) / (2 * RADIUS)) for value in values]
    highest = max(Counter(columns).values(), default=1)
    step = min(2 * RADIUS, room / highest)
    before: Counter[int] = Counter()
    for value, column, title in zip(values, columns, titles, strict=True):
        yield Dot(scale.place(value), base - RADIUS - before[column] * step, kind, title)
        before[column] += 1


def _spread(scale: Scale, values: Sequence[float], base: float, height: float, kind: str) -> Iterator[Shape]:
    """The middle half of the values."""
    if len(values) > 1:
        low, _, high = quantiles(values, n=4, method="inclusive")
        words = f"half of the starts: {format_time(low)} to {format_time(high)}"
        yield Box(
            scale.place(low),
            base - height,
            max(scale.place(high) - scale.place(low), 1.0),
            height + 4,
            f"{kind} half",
            words,
        )
