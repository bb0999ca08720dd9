"""The memory of this container: its limit, what is used of it, and how often the kernel ended a process for it.

The files are those of the memory controller, version 2 (Documentation/admin-guide/cgroup-v2.rst) and version 1
(Documentation/admin-guide/cgroup-v1/memory.rst). All sizes are in bytes; None stands for a number that cannot be read here.
"""

from __future__ import annotations

from pathlib import Path

from entrypoints.hardware.cgroup import MEMBERSHIP, ROOT, find_group, read_text

MEMINFO = Path("/proc/meminfo")
LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}
CURRENT = {1: "memory.usage_in_bytes", 2: "memory.current"}
PEAK = {1: "memory.max_usage_in_bytes", 2: "memory.peak"}
KILLS = {1: "memory.oom_control", 2: "memory.events"}
WORKING_SET = {1: ("total_rss", "total_shmem", "total_mapped_file"), 2: ("anon", "shmem", "file_mapped")}
"""Fields of ``memory.stat``: what processes allocated, files in memory only, and files that processes have mapped. The rest of
the page cache can be given up at no cost."""

REQUEST_SHARE = 0.5
"""The share of the free memory that requests may take; the other half is for the model's computation."""
MIN_REQUEST_MEMORY = 64 << 20
SUFFIXES = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class ContainerMemory:
    def __init__(self, root: Path = ROOT, membership: Path = MEMBERSHIP, meminfo: Path = MEMINFO) -> None:
        self._group = find_group("memory", root, membership)
        self._meminfo = meminfo

    def read_limit(self) -> int | None:
        """The smallest limit of all levels; None if there is none. Version 1 also says what levels above the mount allow."""
        version = self._group.version
        above = self._group.read_field("memory.stat", "hierarchical_memory_limit") if version == 1 else None
        limits = (self._group.find_smallest(LIMIT[version]), above)
        return min((limit for limit in limits if limit is not None), default=None)

    def read_current(self) -> int | None:
        """With the page cache that is charged to the container."""
        return self._group.read_number(CURRENT[self._group.version])

    def read_peak(self) -> int | None:
        """The largest value of ``read_current`` so far. Kernels before 5.19 lack it in version 2."""
        return self._group.read_number(PEAK[self._group.version])

    def read_kills(self) -> int | None:
        """How many processes of the container the kernel has ended because memory was short."""
        return self._group.read_field(KILLS[self._group.version], "oom_kill")

    def read_swap(self) -> int:
        """Bytes of swap that the container may use beside its memory."""
        machine = self.read_machine("SwapTotal") or 0
        if self._group.version == 2:
            allowed = self._group.find_smallest("memory.swap.max")
        else:
            both, limit = self._group.find_smallest("memory.memsw.limit_in_bytes"), self.read_limit()
            allowed = None if both is None or limit is None else max(0, both - limit)
        return machine if allowed is None else min(machine, allowed)

    def read_free(self) -> int | None:
        """The bytes that the container may still allocate: its limit less its use, and at most the machine's free memory."""
        limit, machine = self.read_limit(), self.read_machine("MemAvailable")
        found = [] if machine is None else [machine]
        if limit is not None:
            fields = WORKING_SET[self._group.version]
            used = sum(self._group.read_field("memory.stat", field) or 0 for field in fields)
            found.append(max(0, limit - used))
        return min(found, default=None)

    def read_machine(self, name: str) -> int | None:
        """A line of /proc/meminfo."""
        for line in read_text(self._meminfo).splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024
        return None


def find_request_memory(setting: int = 0, memory: ContainerMemory | None = None) -> int:
    """How many bytes all requests together may take in this container: ``setting`` (``PREBAKE_REQUEST_MEMORY``), unless it is 0.

    Otherwise a share of the free memory, so that it should be called once the model is ready: weights and sessions are in memory
    then. At least ``MIN_REQUEST_MEMORY``.
    """
    if setting:
        return setting
    free = (memory or ContainerMemory()).read_free()
    return max(MIN_REQUEST_MEMORY, int(free * REQUEST_SHARE)) if free is not None else MIN_REQUEST_MEMORY


def parse_bytes(text: str) -> int:
    """A number of bytes, with a suffix as Kubernetes has it: ``512Mi``, ``2G``. Raises ValueError."""
    suffix = next((suffix for suffix in SUFFIXES if text.endswith(suffix)), "")
    digits, unit = text.removesuffix(suffix), SUFFIXES.get(suffix, 1)
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(text)
    return int(digits) * unit
