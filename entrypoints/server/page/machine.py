"""The machine as the container sees it: its processor, memory and GPUs, and how busy they are."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.hardware.container_memory import ContainerMemory
from entrypoints.hardware.cpu_quota import count_cpus
from entrypoints.server.metrics.gpu import GpuMonitor
from entrypoints.server.metrics.process import ProcessTime, list_processes, measure_resident_bytes

if TYPE_CHECKING:
    from entrypoints.hardware.nvml import Gpu

CPUINFO = Path("/proc/cpuinfo")
CPUINFO_BYTES = 16 * 1024
"""The first CPU's lines: the file repeats them for every CPU."""
SHORTEST_SECONDS = 0.5
"""Several pages may ask at once: the processor's utilization is that of at least so long."""


class Machine:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._processor = read_processor_name()
        self._memory = ContainerMemory()
        self._gpus = GpuMonitor()
        self._time = ProcessTime()
        self._sample: tuple[float, float] | None = None
        """When processor time was measured last, and what it was, in seconds."""
        self._utilization: float | None = None

    def describe(self, models: Iterable[int]) -> dict[str, object]:
        """``models``: the ids of the model processes. Sizes are in bytes, utilizations from 0 to 1; None: unknown."""
        processes = list_processes(models)
        cpus = count_cpus()
        return {
            "processor": {
                "name": self._processor,
                "cpus": cpus,
                "utilization": self._measure_utilization(processes, cpus),
            },
            "memory": {
                "used": sum(map(measure_resident_bytes, processes)),
                "size": self._memory.read_limit() or self._memory.read_machine("MemTotal"),
            },
            "gpus": [describe_gpu(gpu) for gpu in self._gpus.read()],
        }

    def _measure_utilization(self, processes: Iterable[str], cpus: int) -> float | None:
        """The share of the container's CPUs that its processes used since the last measurement; None at the first one."""
        now = time.monotonic()
        if self._sample is None:
            self._sample = now, self._time.measure(processes)
        elif now - self._sample[0] >= SHORTEST_SECONDS:
            used = self._time.measure(processes)
            self._utilization = round(min(1.0, (used - self._sample[1]) / (now - self._sample[0]) / cpus), 3)
            self._sample = now, used
        return self._utilization


def describe_gpu(gpu: Gpu) -> dict[str, object]:
    return {
        "number": gpu.number,
        "name": gpu.name,
        "used": gpu.used,
        "size": gpu.size,
        "utilization": gpu.utilization,
        "temperature": gpu.temperature,
        "power": gpu.power,
    }


def read_processor_name(cpuinfo: Path = CPUINFO) -> str | None:
    """None on a processor whose kernel does not name it, as Arm's."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as file:
            head = file.read(CPUINFO_BYTES)
    except OSError:
        return None
    names = (line.partition(":")[2].strip() for line in head.splitlines() if line.startswith("model name"))
    return next(names, None)
