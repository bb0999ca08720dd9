"""Facts of this machine and its packages, by the names that artifacts use in ``requires`` and ``minimum``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

from entrypoints.hardware.providers import CPU, CUDA, TENSORRT

CPU_FEATURES = frozenset(
    {
        "amx_bf16",
        "amx_int8",
        "amx_tile",
        "avx",
        "avx2",
        "avx512_bf16",
        "avx512_vnni",
        "avx512bw",
        "avx512dq",
        "avx512f",
        "avx512vl",
        "avx_vnni",
        "fma",
        # Arm's, as its kernels report them
        "asimd",
        "asimddp",
        "asimdhp",
        "bf16",
        "i8mm",
        "sme",
        "sve",
    }
)
"""The CPU flags by which ONNX Runtime chooses kernels, and with them the layout of packed weights (MLAS, ``platform.cpp``)."""
_CPUINFO_BYTES = 16 * 1024  # the first CPU's lines: /proc/cpuinfo repeats them for every CPU


@cache
def find_facts(provider: str) -> Mapping[str, str]:
    """The facts that an artifact for this provider is compared with. Imports onnxruntime."""
    import onnxruntime

    find = FACTS_BY_PROVIDER.get(provider, partial(find_plugin_facts, provider))
    return {"onnxruntime": onnxruntime.__version__, **find()}


def find_plugin_facts(provider: str) -> dict[str, str]:
    """The version of a plugin provider, which was registered with ONNX Runtime as a library of its own."""
    import onnxruntime

    devices = (device for device in onnxruntime.get_ep_devices() if device.ep_name == provider)
    version = next((device.ep_metadata.get("version", "") for device in devices), "")
    return {"provider": version} if version else {}


def find_cpu_facts() -> dict[str, str]:
    return {"processor": describe_cpu()}


def find_cuda_facts() -> dict[str, str]:
    from entrypoints.hardware.nvidia import describe_cuda  # late: a start without a GPU does not need ctypes

    return describe_cuda()


def find_tensorrt_facts() -> dict[str, str]:
    from entrypoints.hardware.nvidia import describe_tensorrt

    return describe_tensorrt()


def describe_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The architecture and the CPU's flags out of ``CPU_FEATURES``, in alphabetical order."""
    try:
        with cpuinfo.open(encoding="ascii", errors="replace") as file:
            head = file.read(_CPUINFO_BYTES)
    except OSError:
        head = ""
    flags = (line.partition(":")[2] for line in head.splitlines() if line.startswith(("flags", "Features")))
    return " ".join([os.uname().machine, *sorted(CPU_FEATURES & set(next(flags, "").split()))])


FACTS_BY_PROVIDER: Mapping[str, Callable[[], dict[str, str]]] = {
    CPU: find_cpu_facts,
    CUDA: find_cuda_facts,
    TENSORRT: find_tensorrt_facts,
}
"""The function that finds the facts of the device that a provider computes on."""
