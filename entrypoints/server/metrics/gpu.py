"""Metrics of the GPUs that this container sees, as NVIDIA's management library reports them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from entrypoints.server.metrics.text_format import Family, Sample

if TYPE_CHECKING:
    from entrypoints.hardware.nvml import Gpu, Nvml

WAIT_SECONDS = 2.0
"""How long a page waits for the driver. One that is in trouble may take minutes, or for ever."""


class GpuMonitor:
    """Asks the driver in a thread of its own, at most one at a time, so that a page never waits long for it."""

    def __init__(self) -> None:
        self._nvml: Nvml | None = None
        self._opened = False
        self._found: Sequence[Gpu] = ()
        self._reader: threading.Thread | None = None

    def read(self) -> Sequence[Gpu]:
        """No GPUs without NVIDIA's library, and while the driver does not answer. Not from several threads at once."""
        if self._opened and self._nvml is None:
            return ()
        if self._reader is None or not self._reader.is_alive():
            reader = threading.Thread(target=self._ask, name="nvml", daemon=True)
            try:
                reader.start()
            except RuntimeError:  # the limit of threads
                return ()
            self._reader = reader
        self._reader.join(WAIT_SECONDS)
        return () if self._reader.is_alive() else self._found

    def _ask(self) -> None:
        from entrypoints.hardware.nvml import open_nvml  # ctypes: only a machine with metrics needs it

        if not self._opened:
            self._nvml, self._opened = open_nvml(), True
        self._found = self._nvml.read() if self._nvml is not None else ()


def list_families(gpus: Sequence[Gpu]) -> Iterator[Family]:
    """A sample is left out if the driver does not know the value, as of a part of a GPU (MIG)."""

    def make(name: str, text: str, read: Callable[[Gpu], float | None]) -> Family:
        values = [(gpu, read(gpu)) for gpu in gpus]
        samples = [
            Sample(value, {"gpu": str(gpu.number), "uuid": gpu.uuid}) for gpu, value in values if value is not None
        ]
        return Family(name, "gauge", text, samples)

    yield make(
        "prebake_gpu_memory_used_bytes",
        "Memory of the GPU that is in use, by all processes of the machine.",
        lambda gpu: gpu.used,
    )
    yield make("prebake_gpu_memory_size_bytes", "Memory of the GPU.", lambda gpu: gpu.size)
    yield make(
        "prebake_gpu_utilization_ratio",
        "Share of the driver's last sampling period in which a kernel ran, from 0 to 1.",
        lambda gpu: gpu.utilization,
    )
    yield make("prebake_gpu_temperature_celsius", "Temperature of the GPU.", lambda gpu: gpu.temperature)
    yield make("prebake_gpu_power_watts", "Power that the GPU draws.", lambda gpu: gpu.power)
