"""The start as a trace: one span for the whole start, and one for each phase that has ended."""

from __future__ import annotations

from collections.abc import Iterable

from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.tracing.spans import INTERNAL, Span, make_span_id


def make_start_spans(
    trace_id: str, status: Status, timeline: Timeline, models: Iterable[tuple[str, Timeline]]
) -> list[Span]:
    """``timeline``: the server's. ``models``: name and timeline of each model of an image of several."""
    root = make_span_id()
    fault = status.fault
    end = timeline.ready_seconds if timeline.ready_seconds is not None and fault is None else timeline.now()
    attributes: dict[str, str | int] = {"prebake.state": status.state}
    if fault is not None:
        attributes |= {"error.type": type(fault).__name__, "prebake.exit_code": fault.exit_code}
    reason = fault.reason if fault is not None else None
    spans = [
        Span(
            trace_id,
            root,
            "",
            "start",
            INTERNAL,
            to_epoch_nanoseconds(timeline, 0.0),
            to_epoch_nanoseconds(timeline, end),
            attributes,
            reason,
        )
    ]
    for name, record in (("", timeline), *models):
        spans += [
            Span(
                trace_id,
                make_span_id(),
                root,
                phase,
                INTERNAL,
                to_epoch_nanoseconds(timeline, start),
                to_epoch_nanoseconds(timeline, start + seconds),
                {"prebake.model": name} if name else {},
            )
            for (phase, start), seconds in list(record.phases.items())  # other threads add to them
            if seconds is not None
        ]
    return spans


def to_epoch_nanoseconds(timeline: Timeline, seconds: float) -> int:
    """``seconds``: since the process started."""
    return int((timeline.process_started + seconds) * 1e9)
