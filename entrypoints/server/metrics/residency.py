"""Metrics of what is in memory: models, and components that make room for one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from entrypoints.hardware.process_memory import read_process_memory
from entrypoints.server.metrics.text_format import Family, Sample, make_histogram
from entrypoints.server.served_model import ServedModel


def list_families(models: Sequence[ServedModel]) -> Iterator[Family]:
    loaded = [model for model in models if model.is_loaded]
    yield Family(
        "prebake_model_memory_bytes",
        "gauge",
        "Memory of the model's process: its proportional set size, weights that are mapped from files included.",
        [
            Sample(size, {"model": model.name})
            for model in loaded
            if (size := read_process_memory(model.link.process).get("Pss")) is not None
        ],
    )
    yield Family(
        "prebake_residency_requests_total",
        "counter",
        "Complete requests for an inference since the container was ready.",
        [Sample(model.usage.arrivals, {"model": model.name}) for model in models],
    )
    yield Family(
        "prebake_residency_hits_total",
        "counter",
        "Of these, requests that met the model with all of its components in memory.",
        [Sample(model.usage.hits, {"model": model.name}) for model in models],
    )
    yield Family(
        "prebake_model_evictions_total",
        "counter",
        "Times that the model was unloaded.",
        [
            Sample(times, {"model": model.name, "reason": reason})
            for model in models
            for reason, times in sorted(model.usage.evictions.items())
        ],
    )
    yield make_histogram(
        "prebake_model_load_seconds",
        "Seconds until the model could answer, of its loads after the start of the container.",
        (({"model": model.name}, model.usage.loads) for model in models if model.usage.loads.count),
    )
    yield from list_component_families(models)


def list_component_families(models: Sequence[ServedModel]) -> Iterator[Family]:
    """Metrics of components that do not fit into the memory budget together. Other images have no sample of them."""
    reloads = [
        ({"model": model.name, "component": component}, times, seconds)
        for model in models
        for component, (times, seconds) in sorted(model.timeline.reloads.items())
    ]
    yield Family(
        "prebake_component_evictions_total",
        "counter",
        "Times that a component was closed to make room for another.",
        [
            Sample(times, {"model": model.name, "component": component})
            for model in models
            for component, times in sorted(model.timeline.evictions.items())
        ],
    )
    yield Family(
        "prebake_component_reloads_total",
        "counter",
        "Times that a component was opened again after it had been closed.",
        [Sample(times, labels) for labels, times, _ in reloads],
    )
    yield Family(
        "prebake_component_reload_seconds_total",
        "counter",
        "Seconds that requests waited for these components to open.",
        [Sample(seconds, labels) for labels, _, seconds in reloads],
    )
