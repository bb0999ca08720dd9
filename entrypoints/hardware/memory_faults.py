"""The faults of a container whose memory was used up, with the figures that an operator needs."""

from __future__ import annotations

from collections.abc import Sequence

from entrypoints.errors import DeviceMemoryFault, Fault, OutOfMemory
from entrypoints.hardware.container_memory import ContainerMemory
from entrypoints.hardware.memory import is_about_device

REACHED = 0.95
"""The share of the limit from which on a peak counts as the limit: the kernel counts pages in batches."""


def was_killed(memory: ContainerMemory, kills_before: int | None) -> bool:
    """Whether the kernel ended a process of the container for its memory since there were ``kills_before``. If the kernel does
    not count, whether the limit was reached."""
    kills = memory.read_kills()
    return is_reached(memory) if kills is None or kills_before is None else kills > kills_before


def is_reached(memory: ContainerMemory) -> bool:
    limit, peak = memory.read_limit(), memory.read_peak()
    return limit is not None and peak is not None and peak >= limit * REACHED


def make_kill_fault(memory: ContainerMemory, work: str) -> OutOfMemory:
    """``work``: what the model process did when it was ended (``describe_work``)."""
    figures = read_figures(memory)
    whose = "the memory of the container"
    if "peak" in figures and not is_reached(
        memory
    ):  # a kill by the limit of a group that cannot be seen here, or of the node
        whose = "the memory of the machine, or of the Pod,"
    return OutOfMemory(
        f"the kernel ended the model process {work}: {whose} was used up ({describe_figures(figures)})", figures
    )


def make_memory_fault(error: BaseException, reason: str, *, on_device: bool) -> Fault:
    """The fault of a start that an allocation failed in. ``on_device``: as of ``is_about_device``."""
    if is_about_device(error, on_device=on_device):
        return DeviceMemoryFault(reason)
    figures = read_figures(ContainerMemory())
    return OutOfMemory(f"{reason} ({describe_figures(figures)})", figures)


def describe_work(body_sizes: Sequence[int], *, is_ready: bool) -> str:
    """What a model process did when it ended. ``body_sizes``: in bytes, of the requests that the model worked on."""
    if not is_ready:
        return "during the start"
    if not body_sizes:
        return "between requests"
    if len(body_sizes) == 1:
        return f"at a request with a body of {body_sizes[0]:,} bytes"
    return f"at {len(body_sizes)} requests, the largest with a body of {max(body_sizes):,} bytes"


def read_figures(memory: ContainerMemory) -> dict[str, int]:
    """In bytes, those that this kernel has: ``limit``, ``peak``, ``current``."""
    figures = {"limit": memory.read_limit(), "peak": memory.read_peak(), "current": memory.read_current()}
    return {name: figure for name, figure in figures.items() if figure is not None}


def describe_figures(figures: dict[str, int]) -> str:
    limit = f"limit {figures['limit']:,} bytes" if "limit" in figures else "no limit is set"
    return ", ".join([limit, *(f"{name} {figures[name]:,} bytes" for name in ("peak",) if name in figures)])
