"""Do the weights fit on the device? Told from numbers before anything is opened, else from what the provider says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from entrypoints.faults import DeviceMemoryFault, Fault
from entrypoints.manifest import Component, TorchComponent

if TYPE_CHECKING:
    from entrypoints.gpu import Memory

ON_DEVICE = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
BITS = {"fp32": 32.0, "fp16": 16.0, "bf16": 16.0, "int8": 8.0, "int4": 4.5}
"""Of one weight; those of int4 with their scales, one of 16 bits for each 32."""
SMALLER = ("fp16", "int8", "int4")
_SHORTAGE = re.compile(
    r"out of memory|OUT_OF_MEMORY|OutOfMemory|Failed to allocate memory|Available memory of \d+ is smaller",
    re.IGNORECASE,
)


def check_memory(
    components: Iterable[Component | TorchComponent],
    available: Callable[[], list[str]],
    find_memory: Callable[[], Memory],
) -> None:
    """Raises DeviceMemoryFault where the weights alone need more than is free: what a graph works with comes on top."""
    ours = [each for each in components if isinstance(each, Component) and each.providers[0] in ON_DEVICE]
    if not ours or ours[0].providers[0] not in available():
        return
    try:
        memory = find_memory()
    except Fault:
        return  # without a device: the ladder tells that
    needed = {each.name: count_bytes(each) for each in ours}
    limit = memory.total if memory.free is None else memory.free
    if sum(needed.values()) <= limit:
        return
    each_one = ", ".join(f"{name} {size:,}" for name, size in needed.items())
    has = f"{memory.total:,} in all" if memory.free is None else f"{memory.free:,} of {memory.total:,} free"
    raise DeviceMemoryFault(
        f"weights need {sum(needed.values()):,} bytes ({each_one}), the device has {has}; {advise(ours, limit)}"
    )


def count_bytes(component: Component) -> int:
    return sum(length for ranges in component.reads.values() for _, length in ranges)


def advise(components: Iterable[Component], limit: int) -> str:
    """The largest precision in which all would fit."""
    ours = list(components)
    for precision in SMALLER:
        if sum(shrunk(each, precision) for each in ours) <= limit:
            return f"in {precision} they would fit"
    return f"in none of {', '.join(SMALLER)} they would fit"


def shrunk(component: Component, precision: str) -> float:
    own = BITS.get(component.precision, BITS["fp32"])
    return count_bytes(component) * min(1.0, BITS[precision] / own)


def is_shortage(error: BaseException) -> bool:
    """Whether a provider, or torch, says that the device has no memory left."""
    return _SHORTAGE.search(f"{type(error).__name__}: {error}") is not None
