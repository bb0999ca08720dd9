"""Metrics of requests: how many, how long they take, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from entrypoints.server.metrics.text_format import Family, Sample, make_histogram
from entrypoints.server.served_model import ServedModel
from entrypoints.server.usage import ServerUsage


def list_families(models: Sequence[ServedModel], usage: ServerUsage) -> Iterator[Family]:
    """The event loop counts meanwhile: ``sorted`` copies a dictionary's items before anything else runs."""
    yield Family(
        "prebake_requests_total",
        "counter",
        "Answered requests; 499: the client disconnected before its answer; path invalid: not valid HTTP.",
        [
            Sample(count, {"model": model, "path": route, "status": str(status)})
            for (route, model, status), count in sorted(usage.requests.items())
        ],
    )
    yield from list_durations(models)
    yield Family(
        "prebake_requests_in_flight",
        "gauge",
        "Requests for an inference that were accepted and are not yet answered.",
        [Sample(model.usage.unanswered, {"model": model.name}) for model in models],
    )
    yield Family(
        "prebake_queue_depth",
        "gauge",
        "Requests for an inference that wait for a worker.",
        [Sample(model.link.queue_depth, {"model": model.name}) for model in models],
    )
    yield from list_resources(usage)


def list_durations(models: Sequence[ServedModel]) -> Iterator[Family]:
    yield make_histogram(
        "prebake_request_seconds",
        "Seconds from the first byte of a request for an inference to the last byte of its answer, by status.",
        (
            ({"model": model.name, "status": str(status)}, histogram)
            for model in models
            for status, histogram in sorted(model.usage.requests.items())
        ),
    )
    yield make_histogram(
        "prebake_queue_seconds",
        "Seconds that a request waited for a worker, for requests that the model has begun.",
        (({"model": model.name}, model.usage.queue) for model in models),
    )
    yield make_histogram(
        "prebake_generate_seconds",
        "Seconds that the model worked on an answer, for answers with status 200.",
        (({"model": model.name}, model.usage.generate) for model in models),
    )
    yield make_histogram(
        "prebake_batch_size",
        "Requests that the model answered together, by batch; only of models that have batches.",
        (({"model": model.name}, model.usage.batches) for model in models if model.usage.batches.count),
    )


def list_resources(usage: ServerUsage) -> Iterator[Family]:
    yield Family("prebake_connections", "gauge", "Open connections of clients.", [Sample(usage.connections)])
    yield Family(
        "prebake_overload_connections_total",
        "counter",
        "Connections beyond the limit: only health and metrics are answered on them, all else with status 503.",
        [Sample(usage.overload_connections)],
    )
    yield Family(
        "prebake_request_memory_limit_bytes",
        "gauge",
        "Memory that the bodies of all requests may take in the server process.",
        [Sample(usage.memory.total)],
    )
    yield Family(
        "prebake_request_memory_used_bytes",
        "gauge",
        "Memory that the bodies of all requests take in the server process.",
        [Sample(usage.memory.used)],
    )
    yield Family(
        "prebake_trace_spans_total",
        "counter",
        "Spans of OpenTelemetry, by what became of them.",
        [Sample(count, {"outcome": outcome}) for outcome, count in sorted(usage.spans.items())],
    )
