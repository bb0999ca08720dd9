"""Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from entrypoints.server.usage import Histogram

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]


class Sample(NamedTuple):
    """A label whose value is empty is left out: for Prometheus that is the same."""

    value: float
    labels: Labels = {}  # noqa: RUF012 (nothing writes to it)
    suffix: str = ""


class Family(NamedTuple):
    """A metric and all of its samples. ``help`` is one sentence."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    samples: list[Sample]


def make_histogram(name: str, text: str, histograms: Iterable[tuple[Labels, Histogram]]) -> Family:
    """``histograms``: each with its labels."""
    samples = []
    for labels, histogram in histograms:
        counts, total, count = histogram.read()
        for bound, below in zip(histogram.bounds, counts, strict=True):
            samples.append(Sample(below, {**labels, "le": f"{bound:g}"}, "_bucket"))
        samples.append(Sample(count, {**labels, "le": "+Inf"}, "_bucket"))
        samples.append(Sample(total, labels, "_sum"))
        samples.append(Sample(count, labels, "_count"))
    return Family(name, "histogram", text, samples)


def render(families: Iterable[Family]) -> str:
    """The page. A family without a sample is left out."""
    return "".join(f"{line}\n" for family in families if family.samples for line in render_family(family))


def render_family(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        yield f"{family.name}{sample.suffix}{render_labels(sample.labels)} {render_value(sample.value)}"


def render_labels(labels: Labels) -> str:
    pairs = [f'{name}="{escape(value)}"' for name, value in labels.items() if value]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def render_value(value: float) -> str:
    """Numbers of bytes and counts are exact."""
    return str(int(value)) if isinstance(value, int) else f"{value:.12g}"


def escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
