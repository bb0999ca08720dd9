"""Safetensors in files of a bounded size, named and indexed as Hugging Face's libraries do it (``save_pretrained``).

A layer is what a registry takes at once, a pull loses when it breaks off, and a node fetches in parallel with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prebake.bake.documents import canonical_json
from prebake.bake.safetensors_file import Tensor, write_safetensors
from prebake.bake.safetensors_index import Region, read_index

SHARD = 4 * 2**30 - 2**24
"""Bytes of tensors in a file at most: with its header, and as a tar, it stays below 4 GiB."""


def write_shards(folder: Path, stem: str, tensors: Mapping[str, Tensor], limit: int = SHARD) -> tuple[Path, ...]:
    """Write ``tensors``, in their order, as ``<stem>.safetensors``, or as several files and their index where they are more
    than ``limit`` bytes. A single tensor that is larger has a file of its own. Returns the paths, the index last."""
    groups = _divide(tensors, limit)
    if len(groups) == 1:
        path = folder / f"{stem}.safetensors"
        write_safetensors(path, groups[0])
        return (path,)
    paths = [folder / f"{stem}-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    for path, group in zip(paths, groups, strict=True):
        write_safetensors(path, group)
    index = folder / f"{stem}.safetensors.index.json"
    places = {name: path.name for path, group in zip(paths, groups, strict=True) for name in group}
    total = sum(tensor.length for tensor in tensors.values())
    index.write_bytes(canonical_json({"metadata": {"total_size": total}, "weight_map": places}))
    return (*paths, index)


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in the order in which they lie there; each is read when it is written.

    Raises WeightsError for a file that is none.
    """
    regions = sorted(read_index(path).values(), key=lambda region: (region.offset, region.name))
    return {region.name: _tensor(region) for region in regions}


def _tensor(region: Region) -> Tensor:
    return Tensor(region.dtype, region.shape, lambda: np.frombuffer(region.read(), np.uint8))


def _divide(tensors: Mapping[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    groups: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if groups[-1] and size + tensor.length > limit:
            groups.append({})
            size = 0
        groups[-1][name] = tensor
        size += tensor.length
    return groups
