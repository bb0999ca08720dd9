"""The state of this machine's NVIDIA GPUs, from the management library (``nvml.h``) by ctypes. No CUDA context is made."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

from entrypoints.hardware.nvidia import NVML_LIBRARY, NvmlMemory, open_library

TEMPERATURE_GPU = 0
"""NVML_TEMPERATURE_GPU, the sensor on the die."""
UUID_BYTES = 96
"""NVML_DEVICE_UUID_V2_BUFFER_SIZE"""
NAME_BYTES = 96
"""NVML_DEVICE_NAME_V2_BUFFER_SIZE"""
FUNCTIONS = {
    "nvmlInit_v2": (),
    "nvmlShutdown": (),
    "nvmlDeviceGetCount_v2": (ctypes.POINTER(ctypes.c_uint),),
    "nvmlDeviceGetHandleByIndex_v2": (ctypes.c_uint, ctypes.POINTER(ctypes.c_void_p)),
    "nvmlDeviceGetUUID": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint),
    "nvmlDeviceGetName": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint),
    "nvmlDeviceGetMemoryInfo": (ctypes.c_void_p, ctypes.POINTER(NvmlMemory)),
    "nvmlDeviceGetUtilizationRates": (ctypes.c_void_p, ctypes.c_void_p),
    "nvmlDeviceGetTemperature": (ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_uint)),
    "nvmlDeviceGetPowerUsage": (ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint)),
}


class _Utilization(ctypes.Structure):
    """``nvmlUtilization_t``, in percent."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Gpu(NamedTuple):
    """None: the driver does not know it. ``number``: NVML's, which ignores CUDA_VISIBLE_DEVICES."""

    number: int
    uuid: str
    name: str
    """Such as ``NVIDIA H200``; empty if the driver does not know it."""
    used: int | None
    """Bytes."""
    size: int | None
    utilization: float | None
    """From 0 to 1."""
    temperature: int | None
    """Degrees Celsius."""
    power: float | None
    """Watts."""


class Nvml:
    """Not for several threads at once."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Raises AttributeError if the library lacks a function."""
        for name, arguments in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = ctypes.c_int, arguments
        self._library = library
        self._initialized = False

    def read(self) -> Sequence[Gpu]:
        """No GPUs while the driver does not work; the next call begins anew, since a driver may come back."""
        count = ctypes.c_uint()
        self._initialized = self._initialized or self._call("nvmlInit_v2")
        if self._initialized and self._call("nvmlDeviceGetCount_v2", ctypes.byref(count)):
            gpus = [self._read_gpu(index) for index in range(count.value)]
            return [gpu for gpu in gpus if gpu is not None]
        if self._initialized:
            self._call("nvmlShutdown")
            self._initialized = False
        return ()

    def _read_gpu(self, index: int) -> Gpu | None:
        """None if this container may not use it."""
        device, uuid = ctypes.c_void_p(), ctypes.create_string_buffer(UUID_BYTES)
        name = ctypes.create_string_buffer(NAME_BYTES)
        if not self._call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(device)):
            return None
        memory, rates = NvmlMemory(), _Utilization()
        temperature, power = ctypes.c_uint(), ctypes.c_uint()
        has_memory = self._call("nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
        has_rates = self._call("nvmlDeviceGetUtilizationRates", device, ctypes.byref(rates))
        has_temperature = self._call("nvmlDeviceGetTemperature", device, TEMPERATURE_GPU, ctypes.byref(temperature))
        has_power = self._call("nvmlDeviceGetPowerUsage", device, ctypes.byref(power))
        has_uuid = self._call("nvmlDeviceGetUUID", device, uuid, UUID_BYTES)
        has_name = self._call("nvmlDeviceGetName", device, name, NAME_BYTES)
        return Gpu(
            index,
            uuid.value.decode("ascii", "replace") if has_uuid else "",
            name.value.decode("utf-8", "replace") if has_name else "",
            int(memory.used) if has_memory else None,
            int(memory.total) if has_memory else None,
            rates.gpu / 100 if has_rates else None,
            temperature.value if has_temperature else None,
            power.value / 1000 if has_power else None,  # NVML gives milliwatts
        )

    def _call(self, name: str, *arguments: object) -> bool:
        return not getattr(self._library, name)(*arguments)


def open_nvml() -> Nvml | None:
    """None if this machine does not have the library."""
    library = open_library(NVML_LIBRARY)
    try:
        return Nvml(library) if library is not None else None
    except AttributeError:  # of a driver that is older than these functions
        return None
