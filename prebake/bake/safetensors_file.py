"""Writing safetensors so that the same tensors give the same bytes, and a page or vector load never straddles badly.

The format allows no padding between tensors, so alignment comes from order: tensors whose length is a multiple of 64
bytes first (in practice every large one), then the rest by falling item size, each group by name. The data begin at a
multiple of 64 bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prebake.bake.safetensors_index import ITEM_BYTES

ALIGNMENT = 64
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tensor:
    """A tensor to write. ``load`` gives its bytes, one-dimensional, row-major; asked for only when its turn comes."""

    dtype: str
    shape: tuple[int, ...]
    load: Callable[[], Bytes]

    @property
    def length(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write ``tensors`` to ``path``, one at a time, making its folder.

    Raises ValueError where bytes and shape disagree.
    """
    order = sorted(tensors, key=lambda name: _rank(name, tensors[name]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(_header(order, tensors))
        for name in order:
            data = tensors[name].load()
            if data.nbytes != tensors[name].length:
                raise ValueError(f"{name}: {data.nbytes} bytes for {tensors[name].dtype} {list(tensors[name].shape)}")
            file.write(data.data)


def _rank(name: str, tensor: Tensor) -> tuple[bool, int, str]:
    aligned = tensor.length % ALIGNMENT == 0
    return not aligned, 0 if aligned else -ITEM_BYTES[tensor.dtype], name


def _header(order: list[str], tensors: Mapping[str, Tensor]) -> bytes:
    entries, position = {}, 0
    for name in order:
        tensor, end = tensors[name], position + tensors[name].length
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
