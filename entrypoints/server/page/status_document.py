"""``GET /status``: what the page shows of a server that runs, besides its fields (``/``)."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from entrypoints.hardware.process_memory import read_process_memory
from entrypoints.manifest.values import OnnxComponent, TorchComponent
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.descriptions import describe_fallbacks
from entrypoints.server.page.machine import Machine
from entrypoints.server.served_model import ServedModel
from entrypoints.server.usage import RecentRequest, ServerUsage
from entrypoints.settings import Settings
from entrypoints.version import VERSION

OPEN_PHASE = "open {}"
"""The phase of a start in which a component is opened (``entrypoints.components.opener``)."""


class StatusDocument:
    def __init__(
        self, models: Sequence[ServedModel], status: Status, timeline: Timeline, usage: ServerUsage, settings: Settings
    ) -> None:
        self._models = models
        self._status = status
        self._timeline = timeline
        self._usage = usage
        self._has_token = bool(settings.admin_token)
        self._machine = Machine()
        self._lock = threading.Lock()

    def describe(self) -> dict[str, object]:
        """Not from the event loop: it reads files, and waits for the GPU's driver."""
        with self._lock:
            machine = self._machine.describe(model.link.process for model in self._models if model.is_loaded)
        return {
            "version": VERSION,
            "name": find_image_name(self._models),
            "state": self._status.state,
            "reason": self._status.reason,
            "seconds": round(self._timeline.now(), 3),
            "ready_seconds": self._timeline.ready_seconds and round(self._timeline.ready_seconds, 4),
            "takes_operations": self._has_token,
            "phases": self._timeline.describe_phases(),
            "notices": self._timeline.notices,
            "machine": machine,
            "models": [describe_model(model) for model in self._models],
            "fallbacks": [fallback for model in self._models for fallback in describe_fallbacks(model)],
            "requests": [describe_request(request) for request in reversed(self._usage.recent)],
        }


def find_image_name(models: Sequence[ServedModel]) -> str | None:
    manifest = next((model.timeline.manifest for model in models if model.timeline.manifest), None)
    if manifest is None:
        return None
    return manifest.multi_model.image if manifest.multi_model else manifest.name


def describe_model(model: ServedModel) -> dict[str, object]:
    """The phases and notices of the only model of an image are the server's. ``memory``: as ``prebake_model_memory_bytes``."""
    usage, manifest = model.usage, model.timeline.manifest
    return {
        "name": model.label or None,
        "path": model.path,
        "state": model.state,
        "reason": model.status.reason,
        "device": model.device,
        "checkpoint": manifest and manifest.checkpoint,
        "memory": read_process_memory(model.link.process).get("Pss") if model.is_loaded else 0,
        "accepts": model.accepts,
        "phases": model.timeline.describe_phases() if model.name else [],
        "notices": model.timeline.notices if model.name else [],
        "has_fields": bool(model.timeline.fields),
        "in_flight": usage.unanswered,
        "arrivals": usage.arrivals,
        "hits": usage.hits,
        "components": [
            describe_component(model, component) for component in (manifest.components.values() if manifest else ())
        ],
    }


def describe_component(model: ServedModel, component: OnnxComponent | TorchComponent) -> dict[str, object]:
    """``opened``: the artifact or provider that the start opened it with. ``weights``: bytes of weight files that it uses."""
    opened = model.timeline.opened.get(component.name)
    return {
        "name": component.name,
        "state": find_component_state(model, component.name),
        "precision": component.precision,
        "opened": opened,
        "weights": sum(length for ranges in component.byte_ranges.values() for _, length in ranges),
    }


def find_component_state(model: ServedModel, name: str) -> str:
    """``waiting``, ``opening``, ``open``, or ``closed`` to make room for others; or the state of a model that is not loaded."""
    if model.availability != "loaded":
        return model.availability
    if name in model.timeline.closed:
        return "closed"
    if name in model.timeline.opened:
        return "open"
    phases = list(model.timeline.phases)  # another thread adds to them
    return "opening" if any(phase == OPEN_PHASE.format(name) for phase, _ in phases) else "waiting"


def describe_request(request: RecentRequest) -> dict[str, object]:
    return {
        "time": round(request.time, 3),
        "method": request.method,
        "path": request.route,
        "model": request.model or None,
        "status": request.status,
        "seconds": round(request.seconds, 6),
    }
