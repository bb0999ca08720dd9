"""Whether the weights fit into the device's memory: computed before anything is opened, else read from a provider's error."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator
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
    r"out of memory|OUT_OF_MEMORY|OutOfMemory|Failed to allocate memory|Available memory of \d+ is smaller"
    r"|CU\w+_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_OUT_OF_HOST_MEMORY = re.compile(r"bad_alloc|DefaultCPUAllocator|Cannot allocate memory", re.IGNORECASE)
_DEVICE_LIBRARY = re.compile(r"cuda|cublas|cudnn|tensorrt", re.IGNORECASE)


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
    """Whether an error, or one that caused it, says that the host or the device has no memory left."""
    return any(
        says_host_memory(each) or _OUT_OF_MEMORY.search(f"{type(each).__name__}: {each}") for each in list_causes(error)
    )


def is_about_device(error: BaseException, *, on_device: bool) -> bool:
    """Whether an error about memory means the device's. ``on_device``: graphs run on one, so that ONNX Runtime's own words, which
    are the same for both, mean that one."""
    causes = list(list_causes(error))
    if any(says_host_memory(each) for each in causes):
        return False
    return on_device or any(_DEVICE_LIBRARY.search(f"{type(each).__name__}: {each}") for each in causes)


def says_host_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return _OUT_OF_HOST_MEMORY.search(str(error)) is not None


def list_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from or while handling: a model may wrap the errors of its libraries."""
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen:
        yield each
        seen.add(id(each))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
