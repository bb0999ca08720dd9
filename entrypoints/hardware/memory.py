"""Whether the weights fit into the device's memory: computed before anything is opened, else read from a provider's error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from entrypoints.errors import DeviceMemoryFault, Fault
from entrypoints.hardware.providers import GPU_PROVIDERS
from entrypoints.manifest.values import OnnxComponent, TorchComponent

if TYPE_CHECKING:
    from entrypoints.hardware.nvidia import DeviceMemory

BITS_PER_WEIGHT = {"fp32": 32.0, "fp16": 16.0, "bf16": 16.0, "int8": 8.0, "int4": 4.5}
"""Bits for one weight. int4 includes its scales: 16 bits for each 32 weights."""
SMALLER_PRECISIONS = ("fp16", "int8", "int4")
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OUT_OF_MEMORY|OutOfMemory|Failed to allocate memory|Available memory of \d+ is smaller",
    re.IGNORECASE,
)


def check_memory(
    components: Iterable[OnnxComponent | TorchComponent],
    available: Callable[[], list[str]],
    find_memory: Callable[[], DeviceMemory],
) -> None:
    """Raises DeviceMemoryFault if the weights alone need more than the free memory. Activations need more on top."""
    graphs = (component for component in components if isinstance(component, OnnxComponent))
    ours = [graph for graph in graphs if graph.providers[0] in GPU_PROVIDERS]
    if not ours or ours[0].providers[0] not in available():
        return
    try:
        memory = find_memory()
    except Fault:
        return  # no device: opening the components reports that
    needed = {graph.name: count_bytes(graph) for graph in ours}
    limit = memory.total if memory.free is None else memory.free
    if sum(needed.values()) <= limit:
        return
    by_name = ", ".join(f"{name} {size:,}" for name, size in needed.items())
    has = f"{memory.total:,} in total" if memory.free is None else f"{memory.free:,} of {memory.total:,} free"
    raise DeviceMemoryFault(
        f"weights need {sum(needed.values()):,} bytes ({by_name}), the device has {has}; {advise_precision(ours, limit)}"
    )


def count_bytes(component: OnnxComponent) -> int:
    return sum(length for ranges in component.byte_ranges.values() for _, length in ranges)


def advise_precision(components: Iterable[OnnxComponent], limit: int) -> str:
    """Text for a message: the largest precision in which all weights would fit."""
    ours = list(components)
    for precision in SMALLER_PRECISIONS:
        if sum(estimate_bytes(component, precision) for component in ours) <= limit:
            return f"they would fit in {precision}"
    return f"they would not fit in any of {', '.join(SMALLER_PRECISIONS)}"


def estimate_bytes(component: OnnxComponent, precision: str) -> float:
    bits = BITS_PER_WEIGHT.get(component.precision, BITS_PER_WEIGHT["fp32"])
    return count_bytes(component) * min(1.0, BITS_PER_WEIGHT[precision] / bits)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a provider, or of torch, says that the device has no memory left."""
    return _OUT_OF_MEMORY.search(f"{type(error).__name__}: {error}") is not None
