"""What this machine and its packages are, in the words that compiled artifacts are keyed by."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

FEATURES = frozenset(
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
"""What ONNX Runtime's kernels on a CPU are chosen by, and with them the layout of packed weights (MLAS, ``platform.cpp``)."""
_HEAD = 16 * 1024  # the first processor's lines: a machine of 200 tells them 200 times


@cache
def find_facts(provider: str) -> Mapping[str, str]:
    """The fields of artifacts for a provider, as they are here. ``onnxruntime`` has to be imported."""
    import onnxruntime

    own = FACTS[provider]() if provider in FACTS else describe_plugin(provider)
    return {"onnxruntime": onnxruntime.__version__, **own}


def describe_plugin(provider: str) -> dict[str, str]:
    """Of a provider that was registered with ONNX Runtime as a library of its own: the version that it tells."""
    import onnxruntime

    devices = (each for each in onnxruntime.get_ep_devices() if each.ep_name == provider)
    version = next((each.ep_metadata.get("version", "") for each in devices), "")
    return {"provider": version} if version else {}


def describe_host() -> dict[str, str]:
    return {"processor": describe_processor()}


def ask_cuda() -> dict[str, str]:
    from entrypoints.gpu import describe_cuda  # with ctypes, which a start without a GPU need not wait for

    return describe_cuda()


def ask_tensorrt() -> dict[str, str]:
    from entrypoints.gpu import describe_tensorrt

    return describe_tensorrt()


def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The architecture, and which of the features that matter the processor has, in alphabetical order."""
    try:
        with cpuinfo.open(encoding="ascii", errors="replace") as file:
            head = file.read(_HEAD)
    except OSError:
        head = ""
    told = (line.partition(":")[2] for line in head.splitlines() if line.startswith(("flags", "Features")))
    return " ".join([os.uname().machine, *sorted(FEATURES & set(next(told, "").split()))])


FACTS: Mapping[str, Callable[[], dict[str, str]]] = {
    "CPUExecutionProvider": describe_host,
    "CUDAExecutionProvider": ask_cuda,
    "TensorrtExecutionProvider": ask_tensorrt,
}
"""Who knows the machine that a provider computes on."""
