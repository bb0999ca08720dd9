"""What the NVIDIA driver and libraries of this machine say of themselves, asked by ctypes: no torch, no CUDA context.

Sources: CUDA's driver API (``cuda.h``), ``cuda_runtime_api.h``, ``cudnn_version.h``, ``NvInferRuntime.h``, ``nvml.h``.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from entrypoints.faults import SessionFault

DRIVER = "libcuda.so.1"
RUNTIME = ("libcudart.so.13", "libcudart.so.12")
CUDNN = "libcudnn.so.9"
TENSORRT = "libnvinfer.so.10"
MANAGEMENT = "libnvidia-ml.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_LENGTH = 256  # bytes for a device's name


class Memory(NamedTuple):
    """Of a device, in bytes. ``free`` is None where the management library is not here: the driver alone tells it only to
    who has a context, which costs memory itself."""

    total: int
    free: int | None


class Driver:
    """The driver's own library, initialised, and its first device: the one that sessions open on."""

    def __init__(self) -> None:
        """Raises SessionFault, which says what is missing."""
        library = open_library(DRIVER)
        if library is None:
            raise SessionFault(f"there is no NVIDIA driver here: {DRIVER} cannot be loaded")
        self._library = library
        self._call("cuInit", 0)
        self._device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(self._device), 0)

    def version(self) -> str:
        """The CUDA version that it goes up to: ``13.0``."""
        found = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(found))
        return dotted(found.value)

    def name(self) -> str:
        text = ctypes.create_string_buffer(_LENGTH)
        self._call("cuDeviceGetName", text, _LENGTH, self._device)
        return text.value.decode("utf-8", "replace")

    def capability(self) -> str:
        """Compute capability: ``9.0``."""
        return f"{self._attribute(_MAJOR)}.{self._attribute(_MINOR)}"

    def memory(self) -> Memory:
        total = ctypes.c_size_t()
        self._call("cuDeviceTotalMem_v2", ctypes.byref(total), self._device)
        return Memory(total.value, self._free())

    def _attribute(self, number: int) -> int:
        found = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(found), number, self._device)
        return found.value

    def _free(self) -> int | None:
        """Asked for by the bus: the management library numbers devices otherwise, and hides none of them."""
        place = ctypes.create_string_buffer(64)
        self._call("cuDeviceGetPCIBusId", place, len(place), self._device)
        return find_free(place.value)

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise SessionFault(f"the NVIDIA driver gives no device: {name} ended with {code}")


class _Used(ctypes.Structure):
    """``nvmlMemory_t``."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def find_free(place: bytes) -> int | None:
    """Bytes of memory that nobody has on the device at ``place``."""
    library = open_library(MANAGEMENT)
    if library is None or library.nvmlInit_v2():
        return None
    handle, memory = ctypes.c_void_p(), _Used()
    failed = library.nvmlDeviceGetHandleByPciBusId_v2(place, ctypes.byref(handle))
    failed = failed or library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    return None if failed else int(memory.free)


def describe_cuda() -> dict[str, str]:
    """The fields of artifacts for CUDA. Raises SessionFault where there is no device."""
    driver = Driver()
    runtime = next((library for name in RUNTIME if (library := open_library(name))), None)
    fields = {
        "device": driver.name(),
        "capability": driver.capability(),
        "driver": driver.version(),
        "cuda": runtime_version(runtime) if runtime else "",
        "cudnn": library_version(CUDNN, "cudnnGetVersion", 10_000, 100),
    }
    return {name: value for name, value in fields.items() if value}


def describe_tensorrt() -> dict[str, str]:
    version = library_version(TENSORRT, "getInferLibVersion", 10_000, 100)
    return {**describe_cuda(), **({"tensorrt": version} if version else {})}


def runtime_version(library: ctypes.CDLL) -> str:
    found = ctypes.c_int()
    return "" if library.cudaRuntimeGetVersion(ctypes.byref(found)) else dotted(found.value)


def library_version(name: str, function: str, major: int, minor: int) -> str:
    """What a function without arguments says, such as 91301 for ``9.13.1``; empty where the library is not here."""
    library = open_library(name)
    if library is None:
        return ""
    ask = getattr(library, function)
    ask.restype = ctypes.c_size_t
    number = int(ask()) & 0xFFFFFFFF  # TensorRT gives 32 bits of them
    return f"{number // major}.{number % major // minor}.{number % minor}"


def dotted(version: int) -> str:
    """CUDA's numbers: 13000 is ``13.0``."""
    return f"{version // 1000}.{version % 1000 // 10}"


def open_library(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
