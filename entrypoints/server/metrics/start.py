"""Metrics of the start, and of how the models run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.metrics.text_format import Family, Sample
from entrypoints.server.served_model import ServedModel


def list_families(models: Sequence[ServedModel], status: Status, timeline: Timeline) -> Iterator[Family]:
    several = [model for model in models if model.name]
    yield Family(
        "prebake_ready",
        "gauge",
        "1 if ready, else 0; 0 also for a model that is unloaded.",
        [
            Sample(status.state == "ready" if several else models[0].state == "ready"),
            *(Sample(model.state == "ready", {"model": model.name}) for model in several),
        ],
    )
    records = [("", timeline), *((model.name, model.timeline) for model in several)]
    yield Family(
        "prebake_ready_seconds",
        "gauge",
        "Seconds from the start of the process to ready.",
        [Sample(record.ready_seconds, {"model": name}) for name, record in records if record.ready_seconds is not None],
    )
    yield Family(
        "prebake_start_phase_seconds",
        "gauge",
        "Seconds of each phase of the start; phases overlap.",
        [
            Sample(seconds, {"model": name, "phase": phase})
            for name, record in records
            for phase, seconds in list_phases(record).items()
        ],
    )
    yield Family(
        "prebake_fallbacks_total",
        "counter",
        "Fallbacks: a component was opened with another candidate, since a better one was rejected.",
        count_fallbacks(models),
    )
    yield Family(
        "prebake_bucket_runs_total",
        "counter",
        "Runs of components that have shape buckets, by bucket.",
        [
            Sample(runs, {"model": model.name, "component": component, "bucket": bucket})
            for model in models
            for (component, bucket), runs in sorted(model.timeline.bucket_runs.items())
        ],
    )


def list_phases(record: Timeline) -> dict[str, float]:
    """Seconds by the name of each phase that has ended. Other threads add phases meanwhile, so ``list`` copies them first."""
    return {name: seconds for (name, _), seconds in list(record.phases.items()) if seconds is not None}


def count_fallbacks(models: Sequence[ServedModel]) -> list[Sample]:
    counted: Counter[tuple[str, ...]] = Counter()
    names = ("model", "component", "from", "to", "reason")
    for model in models:
        for fallback in list(model.timeline.fallbacks):
            counted[model.name, *(fallback[name] for name in names[1:])] += 1
    return [Sample(times, dict(zip(names, values, strict=True))) for values, times in counted.items()]
