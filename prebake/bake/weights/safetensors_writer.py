"""Writes safetensors files: equal tensors give equal bytes, and tensors are aligned for memory mapping.

The format allows no padding between tensors, so alignment follows from their order: first tensors whose length is a multiple of
64 bytes (in practice all large ones), then the others by decreasing item size; each group by name. The data start at a multiple
of 64 bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prebake.bake.weights.dtypes import ITEM_BYTES

ALIGNMENT_BYTES = 64
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LazyTensor:
    """A tensor to write. ``load`` returns its bytes [length], row-major; it is called when the tensor is written."""

    dtype: str
    shape: tuple[int, ...]
    load: Callable[[], Bytes]

    @property
    def length(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def write_safetensors(path: Path, tensors: Mapping[str, LazyTensor]) -> None:
    """Write ``tensors`` to ``path`` one at a time; creates its folder. Raises ValueError if bytes and shape disagree."""
    order = sorted(tensors, key=lambda name: _sort_key(name, tensors[name]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(_header(order, tensors))
        for name in order:
            data = tensors[name].load()
            if data.nbytes != tensors[name].length:
                raise ValueError(f"{name}: {data.nbytes} bytes for {tensors[name].dtype} {list(tensors[name].shape)}")
            file.write(data.data)


def _sort_key(name: str, tensor: LazyTensor) -> tuple[bool, int, str]:
    aligned = tensor.length % ALIGNMENT_BYTES == 0
    return not aligned, 0 if aligned else -ITEM_BYTES[tensor.dtype], name


def _header(order: list[str], tensors: Mapping[str, LazyTensor]) -> bytes:
    entries, position = {}, 0
    for name in order:
        tensor, end = tensors[name], position + tensors[name].length
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT_BYTES)
    return len(text).to_bytes(8, "little") + text
