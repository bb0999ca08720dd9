"""Traces of one server: begins them once it is live, and sends the last ones before it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from entrypoints.processes.log import log_event
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.served_model import ServedModel
from entrypoints.server.tracing.settings import read_trace_settings
from entrypoints.server.tracing.spans import Attributes, make_trace_id
from entrypoints.server.tracing.start_trace import make_start_spans
from entrypoints.server.tracing.tracer import Tracer, describe_resource
from entrypoints.server.usage import ServerUsage
from entrypoints.settings import Settings
from entrypoints.version import VERSION


class ServerTracing:
    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    async def close(self, seconds: float) -> None:
        await asyncio.to_thread(self.tracer.exporter.close, seconds)


def begin_tracing(
    settings: Settings, models: Sequence[ServedModel], status: Status, timeline: Timeline, usage: ServerUsage
) -> ServerTracing | None:
    """None if the variables turn traces off, or cannot be used; the log says so then."""
    trace_settings, warnings = read_trace_settings(dict(settings.telemetry))
    for warning in warnings:
        log_event("telemetry settings", level="warning", text=warning)
    if trace_settings is None:
        return None
    attributes = {
        "service.instance.id": os.urandom(16).hex(),
        "telemetry.sdk.name": "prebake",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": VERSION,
        **({"oci.manifest.digest": settings.image_digest} if settings.image_digest else {}),
    }

    def describe() -> Attributes:
        return describe_resource(trace_settings, find_name(models), {**attributes, **find_version(models)})

    tracer = Tracer(trace_settings, describe, usage.spans)
    status.decided.add_done_callback(lambda _: record_start(tracer, models, status, timeline))
    return ServerTracing(tracer)


def record_start(tracer: Tracer, models: Sequence[ServedModel], status: Status, timeline: Timeline) -> None:
    trace_id = make_trace_id()
    if tracer.samples(trace_id):
        several = [(model.name, model.timeline) for model in models if model.name]
        tracer.exporter.add(make_start_spans(trace_id, status, timeline, several))


def find_name(models: Sequence[ServedModel]) -> str:
    """The image's; OpenTelemetry's word for an unknown one until the manifest is read."""
    for model in models:
        if (manifest := model.timeline.manifest) is not None:
            return manifest.multi_model.image if manifest.multi_model else manifest.name
    return "unknown_service"


def find_version(models: Sequence[ServedModel]) -> dict[str, str]:
    """The revision that the first model's manifest has."""
    manifest = models[0].timeline.manifest
    return {"service.version": manifest.revision} if manifest is not None and manifest.revision else {}
