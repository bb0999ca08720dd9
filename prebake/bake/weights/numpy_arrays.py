"""numpy arrays in safetensors files: parity cases, and constants that no published file has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from prebake.bake.weights.dtypes import DTYPES
from prebake.bake.weights.safetensors_reader import read_index
from prebake.bake.weights.safetensors_writer import LazyTensor, write_safetensors

Array = npt.NDArray[Any]

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    dtype.safetensors: np.dtype(getattr(ml_dtypes, dtype.name, dtype.name)) for dtype in DTYPES
}
"""numpy's dtype by the safetensors name."""
_NAMES = {dtype: name for name, dtype in NUMPY_DTYPES.items()}


def is_storable(array: Array) -> bool:
    """Whether safetensors has the array's dtype."""
    return array.dtype in _NAMES


def flat_bytes(array: Array) -> npt.NDArray[np.uint8]:
    """The array's bytes, row-major; a view if it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a safetensors file; equal arrays give equal bytes. Raises KeyError for a dtype that safetensors lacks."""
    write_safetensors(path, from_arrays(arrays))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file by name. Raises WeightsError if it is damaged."""
    return {
        name: np.frombuffer(region.read(), NUMPY_DTYPES[region.dtype]).reshape(region.shape)
        for name, region in read_index(path).items()
    }


def from_arrays(arrays: Mapping[str, Array]) -> dict[str, LazyTensor]:
    """The arrays as tensors to write. Raises KeyError for a dtype that safetensors lacks."""
    return {name: _tensor(array) for name, array in arrays.items()}


def _tensor(array: Array) -> LazyTensor:
    return LazyTensor(_NAMES[array.dtype], array.shape, lambda: flat_bytes(array))
