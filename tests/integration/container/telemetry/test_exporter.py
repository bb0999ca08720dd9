"""The queue of spans is bounded, and settings are read as OpenTelemetry's specification says."""

from __future__ import annotations

from collections import Counter

import pytest

from entrypoints.server.tracing.exporter import MAX_QUEUE, Exporter
from entrypoints.server.tracing.settings import TraceSettings, read_trace_settings
from entrypoints.server.tracing.spans import INTERNAL, Span, make_span_id, make_trace_id
from tests.support.container.collector import collecting

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
WHOLE = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def make_spans(number: int) -> list[Span]:
    trace_id = make_trace_id()
    return [Span(trace_id, make_span_id(), "", "span", INTERNAL, 1, 2, {"number": each}) for each in range(number)]


def read(variables: dict[str, str]) -> TraceSettings:
    settings, warnings = read_trace_settings(variables)
    assert settings is not None
    assert warnings == []
    return settings


def test_more_spans_than_the_queue_takes_are_dropped_and_counted() -> None:
    with collecting() as collector:
        collector.release.clear()
        counts: Counter[str] = Counter()
        exporter = Exporter(read({BASE: collector.url}), dict, counts)
        exporter.add(make_spans(3 * MAX_QUEUE))
        assert counts["dropped"] == 2 * MAX_QUEUE
        collector.release.set()
        exporter.close(20.0)
        assert counts == {"dropped": 2 * MAX_QUEUE, "exported": MAX_QUEUE}
        assert len(collector.spans) == MAX_QUEUE
        assert max(len(request[2]) for request in collector.requests) < 2**20


def test_an_answer_that_does_not_end_takes_no_longer_than_an_export_may() -> None:
    with collecting() as collector:
        collector.content, collector.byte_seconds = bytes(100), 0.1
        counts: Counter[str] = Counter()
        exporter = Exporter(read({BASE: collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "500"}), dict, counts)
        exporter.add(make_spans(1))
        exporter.close(20.0)
        assert +counts == {"dropped": 1}


@pytest.mark.parametrize("content", [b'{"partialSuccess":{"rejectedSpans":1e999}}', b"[" * 10_000])
def test_an_odd_answer_of_a_collector_that_took_the_spans_drops_none(content: bytes) -> None:
    with collecting() as collector:
        collector.content = content
        counts: Counter[str] = Counter()
        exporter = Exporter(read({BASE: collector.url}), dict, counts)
        exporter.add(make_spans(2))
        exporter.close(20.0)
        assert +counts == {"exported": 2}


@pytest.mark.parametrize(
    ("variables", "place", "path"),
    [
        ({BASE: "http://collector:4318"}, "http://collector:4318", "/v1/traces"),
        ({BASE: "https://collector/otlp/"}, "https://collector:443", "/otlp/v1/traces"),
        ({BASE: "http://x", WHOLE: "http://user:password@collector"}, "http://collector:80", "/"),
        ({WHOLE: "http://[::1]:1/traces?tenant=1"}, "http://::1:1", "/traces?tenant=1"),
    ],
)
def test_the_endpoint(variables: dict[str, str], place: str, path: str) -> None:
    settings = read(variables)
    assert (settings.place, settings.path) == (place, path)
    assert "password" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "parent_based", "ratio"),
    [
        ({}, True, 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, False, 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, True, 0.25),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, False, 1.0),
    ],
)
def test_the_sampler(variables: dict[str, str], parent_based: bool, ratio: float) -> None:
    settings = read({BASE: "http://collector", **variables})
    assert (settings.parent_based, settings.ratio) == (parent_based, ratio)


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "secret"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "name=a%0D%0Ab"},
        {"OTEL_RESOURCE_ATTRIBUTES": "=x"},
    ],
)
def test_a_value_that_is_wrong_has_no_effect_but_a_warning(variables: dict[str, str]) -> None:
    settings, warnings = read_trace_settings({BASE: "http://collector", **variables})
    assert settings == read({BASE: "http://collector"})._replace(parent_based="OTEL_TRACES_SAMPLER" not in variables)
    assert len(warnings) == 1
    assert "secret" not in warnings[0]
