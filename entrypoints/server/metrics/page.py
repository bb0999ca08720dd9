"""The whole page."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.metrics import gpu, process, requests, residency, start
from entrypoints.server.metrics.build_info import describe_build
from entrypoints.server.metrics.text_format import render
from entrypoints.server.served_model import ServedModel
from entrypoints.server.usage import ServerUsage


class MetricsPage:
    def __init__(
        self, models: Sequence[ServedModel], status: Status, timeline: Timeline, usage: ServerUsage, digest: str
    ) -> None:
        """``digest``: of the image, empty if it is unknown."""
        self._models = models
        self._status = status
        self._timeline = timeline
        self._usage = usage
        self._digest = digest
        self._time = process.ProcessTime()
        self._gpus = gpu.GpuMonitor()
        self._lock = threading.Lock()

    def render(self) -> bytes:
        """Not from the event loop: it reads files, and waits for the GPU's driver."""
        with self._lock:
            families = [
                describe_build(self._models, self._digest),
                *start.list_families(self._models, self._status, self._timeline),
                *requests.list_families(self._models, self._usage),
                *residency.list_families(self._models),
                *process.list_families(
                    self._timeline.process_started,
                    self._time,
                    (model.link.process for model in self._models if model.availability == "loaded"),
                ),
                *gpu.list_families(self._gpus.read()),
            ]
        return render(families).encode()
