"""What ``/``, ``/startup`` and ``/health`` say about a model. Imported by the first request for one of them."""

from __future__ import annotations

from entrypoints.forms.fields import describe_fields
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.served_model import ServedModel
from entrypoints.settings import Settings


def describe_model(model: ServedModel) -> dict[str, object]:
    manifest = model.timeline.manifest
    return {
        "name": manifest and manifest.name,
        "checkpoint": manifest and manifest.checkpoint,
        "target": manifest and manifest.target,
        "status": model.state,
        "fields": describe_fields(model.timeline.fields),
    }


def describe_start(status: Status, timeline: Timeline) -> dict[str, object]:
    ready = timeline.ready_seconds
    return {
        "state": status.state,
        "reason": status.reason,
        "ready_seconds": None if ready is None else round(ready, 4),
        "phases": timeline.describe_phases(),
        "imports": dict(timeline.imports),  # another thread may add to it
        "notices": timeline.notices,
        "opened": dict(timeline.opened),
        "closed": list(timeline.closed),
        "fallbacks": timeline.fallbacks,
    }


def describe_fallbacks(model: ServedModel) -> list[dict[str, str]]:
    """The fallbacks of one model, with its name if the image has several."""
    name = {"model": model.name} if model.name else {}
    return [{**name, **fallback} for fallback in model.timeline.fallbacks]


def describe_settings(settings: Settings, timeline: Timeline) -> dict[str, object]:
    threads = timeline.threads or settings.threads
    return {"threads": threads, "verify": settings.verify, "extra_files": timeline.extra_files}
