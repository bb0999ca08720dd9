"""Numpy arrays in safetensors files: the cases of a component, and the constants that no published file holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from prebake.bake.safetensors_file import Tensor, write_safetensors
from prebake.bake.safetensors_index import read_index

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_), "U8": np.dtype(np.uint8), "I8": np.dtype(np.int8), "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16), "U32": np.dtype(np.uint32), "I32": np.dtype(np.int32), "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64), "F16": np.dtype(np.float16), "F32": np.dtype(np.float32), "F64": np.dtype(np.float64),
    "BF16": np.dtype(ml_dtypes.bfloat16), "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2), "C64": np.dtype(np.complex64),
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def storable(array: Array) -> bool:
    """Whether safetensors has the array's type."""
    return array.dtype in _NAMES


def flat_bytes(array: Array) -> npt.NDArray[np.uint8]:
    """The array's bytes, row-major; a view where it is contiguous already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write ``arrays`` deterministically. Raises KeyError for a type that safetensors lacks."""
    write_safetensors(path, from_arrays(arrays))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a file, by name. Raises WeightsError where it is damaged."""
    return {
        name: np.frombuffer(region.read(), DTYPES[region.dtype]).reshape(region.shape)
        for name, region in read_index(path).items()
    }


def from_arrays(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """As safetensors has them. Raises KeyError for a type that it lacks."""
    return {name: _tensor(array) for name, array in arrays.items()}


def _tensor(array: Array) -> Tensor:
    return Tensor(_NAMES[array.dtype], array.shape, lambda: flat_bytes(array))
