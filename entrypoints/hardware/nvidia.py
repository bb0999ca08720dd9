"""Versions and memory of this machine's NVIDIA driver and libraries, read with ctypes: no torch, no CUDA context.

Sources: CUDA's driver API (``cuda.h``), ``cuda_runtime_api.h``, ``cudnn_version.h``, ``NvInferRuntime.h``, ``nvml.h``.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from entrypoints.errors import SessionFault

DRIVER_LIBRARY = "libcuda.so.1"
RUNTIME_LIBRARIES = ("libcudart.so.13", "libcudart.so.12")
CUDNN_LIBRARY = "libcudnn.so.9"
TENSORRT_LIBRARY = "libnvinfer.so.10"
NVML_LIBRARY = "libnvidia-ml.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_LENGTH = 256  # bytes for a device's name


class DeviceMemory(NamedTuple):
    """In bytes. ``free`` is None without NVML: the driver reports free memory only to a process with a context, and a context
    needs memory itself."""

    total: int
    free: int | None


class Driver:
    """The driver's library, initialized, and its first device, on which sessions are opened."""

    def __init__(self) -> None:
        """Raises SessionFault if there is no driver or no device."""
        library = open_library(DRIVER_LIBRARY)
        if library is None:
            raise SessionFault(f"this machine has no NVIDIA driver: {DRIVER_LIBRARY} cannot be loaded")
        self._library = library
        self._call("cuInit", 0)
        self._device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(self._device), 0)

    def version(self) -> str:
        """The newest CUDA version that the driver supports: ``13.0``."""
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        return format_version(version.value)

    def name(self) -> str:
        text = ctypes.create_string_buffer(_LENGTH)
        self._call("cuDeviceGetName", text, _LENGTH, self._device)
        return text.value.decode("utf-8", "replace")

    def capability(self) -> str:
        """Compute capability: ``9.0``."""
        return f"{self._attribute(_MAJOR)}.{self._attribute(_MINOR)}"

    def memory(self) -> DeviceMemory:
        total = ctypes.c_size_t()
        self._call("cuDeviceTotalMem_v2", ctypes.byref(total), self._device)
        return DeviceMemory(total.value, self._free())

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, self._device)
        return value.value

    def _free(self) -> int | None:
        """Found by PCI bus id: NVML numbers devices differently and ignores CUDA_VISIBLE_DEVICES."""
        bus_id = ctypes.create_string_buffer(64)
        self._call("cuDeviceGetPCIBusId", bus_id, len(bus_id), self._device)
        return find_free_bytes(bus_id.value)

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise SessionFault(f"the NVIDIA driver has no device: {name} returned {code}")


class NvmlMemory(ctypes.Structure):
    """``nvmlMemory_t``."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def find_free_bytes(bus_id: bytes) -> int | None:
    """The free memory of the device with this PCI bus id; None without NVML."""
    library = open_library(NVML_LIBRARY)
    if library is None or library.nvmlInit_v2():
        return None
    handle, memory = ctypes.c_void_p(), NvmlMemory()
    failed = library.nvmlDeviceGetHandleByPciBusId_v2(bus_id, ctypes.byref(handle))
    failed = failed or library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    return None if failed else int(memory.free)


def describe_cuda() -> dict[str, str]:
    """The facts of the machine for the CUDA provider. Raises SessionFault if there is no device."""
    driver = Driver()
    runtime = next((library for name in RUNTIME_LIBRARIES if (library := open_library(name))), None)
    facts = {
        "device": driver.name(),
        "capability": driver.capability(),
        "driver": driver.version(),
        "cuda": read_runtime_version(runtime) if runtime else "",
        "cudnn": read_library_version(CUDNN_LIBRARY, "cudnnGetVersion", 10_000, 100),
    }
    return {name: value for name, value in facts.items() if value}


def describe_tensorrt() -> dict[str, str]:
    version = read_library_version(TENSORRT_LIBRARY, "getInferLibVersion", 10_000, 100)
    return {**describe_cuda(), **({"tensorrt": version} if version else {})}


def read_runtime_version(library: ctypes.CDLL) -> str:
    version = ctypes.c_int()
    return "" if library.cudaRuntimeGetVersion(ctypes.byref(version)) else format_version(version.value)


def read_library_version(name: str, function: str, major: int, minor: int) -> str:
    """The version that a function without arguments returns, such as 91301 for ``9.13.1``; empty without the library."""
    library = open_library(name)
    if library is None:
        return ""
    get_version = getattr(library, function)
    get_version.restype = ctypes.c_size_t
    number = int(get_version()) & 0xFFFFFFFF  # TensorRT returns only 32 bits
    return f"{number // major}.{number % major // minor}.{number % minor}"


def format_version(version: int) -> str:
    """``13.0`` for CUDA's number 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"


def open_library(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
