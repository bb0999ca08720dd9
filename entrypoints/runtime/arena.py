"""The memory that sessions keep for their next runs, and its return to the system after a request far above the usual.

ONNX Runtime's arena and glibc's heap keep what was freed. For requests of about the same size that saves the kernel's work; after
one request that needed twenty times the usual memory, it would stay taken for ever.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    import onnxruntime

FAR_ABOVE = 4.0
"""A request is far above the usual if it has this many times the elements of the mean request."""
NEWEST_SHARE = 0.2
"""The weight of the newest request in the mean: a size that comes every third time counts as usual."""
MIN_GROWTH_BYTES = 64 << 20
"""The process has to have grown by so much, or there is nothing to give back that is worth the time."""
SHRINKAGE = "memory.enable_memory_arena_shrinkage"
"""The entry of a run's options by which arenas give up what no run uses. Its value names them: ``cpu:0``, ``gpu:0``."""
IDENTITY_GRAPH = (
    b'\x08\x08:<\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x06shrinkZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""A graph in ONNX that returns its input, one float. ONNX Runtime shrinks arenas at the end of a run only. All sessions on a CPU
share one arena, so that a run of this graph does it between requests."""


class RunSizes:
    """How many elements the runs of one session read and write. Runs may come from any thread."""

    def __init__(self, device: str = "") -> None:
        """``device``: the arena of the session alone, as ``SHRINKAGE`` names it; empty if it uses the arena that all share."""
        self.device = device
        self.shrinks_next_run = False
        self._mean = 0.0
        self._largest = 0
        self._kept = 0

    def take_run_options(self) -> onnxruntime.RunOptions | None:
        """Options of the next run, which let the session's own arena shrink at its end if an earlier request asks for that."""
        if not self.shrinks_next_run:
            return None
        self.shrinks_next_run = False
        return make_run_options(self.device)

    def note(self, *tensors: Mapping[str, object] | Iterable[object]) -> None:
        elements = 0
        for group in tensors:
            for tensor in group.values() if isinstance(group, Mapping) else group:
                elements += getattr(tensor, "size", 0)
        self._largest = max(self._largest, elements)

    def end_request(self) -> bool:
        """Whether the largest request since the last shrinkage was far above the mean of those before this one."""
        largest, self._largest = self._largest, 0
        if not largest:
            return False
        self._kept = max(self._kept, largest)
        is_far_above = 0 < self._mean * FAR_ABOVE < self._kept
        self._mean += (largest - self._mean) * (NEWEST_SHARE if self._mean else 1.0)
        return is_far_above

    def forget_kept(self) -> None:
        self._kept = 0


class Arenas:
    """Those of this process. One object (``find_arenas``), as all sessions on a CPU share one arena."""

    def __init__(self) -> None:
        self._sizes: WeakSet[RunSizes] = WeakSet()
        """Each belongs to a session, which may be closed before the process ends."""
        self._floor = 0
        self._ends_to_shrink = 0
        self._have_fixed_addresses = False

    def add(self, sizes: RunSizes) -> RunSizes:
        self._sizes.add(sizes)
        return sizes

    def keep_addresses(self) -> None:
        """A CUDA graph was recorded: it writes to memory of the arena that no run seems to use."""
        self._have_fixed_addresses = True

    def runs_on_device(self) -> bool:
        return self._have_fixed_addresses or any(sizes.device for sizes in list(self._sizes))

    def shrink_soon(self) -> None:
        """At the end of this request: it failed, and what it had taken by then is in the arena."""
        self._ends_to_shrink = max(1, self._ends_to_shrink)

    def clear(self) -> None:
        """Give back now what no run uses; the arenas of sessions on a device do so at the end of their next run."""
        for sizes in list(self._sizes):
            sizes.forget_kept()
            sizes.shrinks_next_run = bool(sizes.device) and not self._have_fixed_addresses
        give_back_memory()
        self._floor = read_resident_bytes()

    def end_request(self, workers: int) -> None:
        """A request has ended. ``workers``: how many are answered at once; others may hold memory still, so that as many further
        ends give memory back."""
        far_above = [sizes for sizes in list(self._sizes) if sizes.end_request()]
        if not self._floor:
            self._floor = read_resident_bytes()  # the first request is the warm-up
        if far_above and read_resident_bytes() - self._floor >= MIN_GROWTH_BYTES:
            self._ends_to_shrink = workers
        for sizes in far_above:
            sizes.forget_kept()
            sizes.shrinks_next_run = bool(sizes.device) and not self._have_fixed_addresses
        if self._ends_to_shrink:
            self._ends_to_shrink -= 1
            give_back_memory()
            self._floor = read_resident_bytes()


@cache
def find_arenas() -> Arenas:
    return Arenas()


def give_back_memory() -> None:
    """To the system: what the arena of the CPU and glibc's heap hold and nobody uses."""
    gc.collect()  # arrays of the request may be in a circle of references
    shrinker = make_shrinker()
    if shrinker is not None:
        shrinker.shrink()
    trim_heap()


def empty_torch_cache() -> None:
    """Give back the blocks of torch's caching allocator that no tensor uses. Does nothing without torch on a device."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class Shrinker:
    def __init__(self) -> None:
        import numpy as np
        import onnxruntime

        from entrypoints.runtime.session_options import SessionConfig, make_session_options

        options = make_session_options(SessionConfig("disable", prepack=False), 1)
        self._session = onnxruntime.InferenceSession(IDENTITY_GRAPH, options, providers=["CPUExecutionProvider"])
        self._input = {"x": np.zeros(1, np.float32)}
        self._options = make_run_options("cpu:0")

    def shrink(self) -> None:
        self._session.run(None, self._input, self._options)


@cache
def make_shrinker() -> Shrinker | None:
    """Late: most containers never need it. None without ONNX Runtime, or if its sessions have no arena that can shrink."""
    if "onnxruntime" not in sys.modules:
        return None
    try:
        shrinker = Shrinker()
        shrinker.shrink()
    except Exception:  # ONNX Runtime's exceptions share no base class but this. Memory stays as it is then
        return None
    return shrinker


def make_run_options(arenas: str) -> onnxruntime.RunOptions:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry(SHRINKAGE, arenas)
    return options


def trim_heap() -> None:
    """glibc gives back only what is at the end of its heap by itself. Does nothing with another C library."""
    import ctypes

    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def read_resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """What this process has in memory and shares with no file (proc(5)); 0 if it cannot be read."""
    try:
        _, resident, shared = statm.read_text().split()[:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
