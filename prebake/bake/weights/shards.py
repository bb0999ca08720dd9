"""Writes weights as safetensors shards, named and indexed as by Hugging Face's ``save_pretrained``.

Each file becomes an image layer. Registries limit the size of a layer, an interrupted pull repeats a layer, and nodes pull
layers in parallel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prebake.bake.weights.safetensors_reader import TensorRegion, read_index
from prebake.bake.weights.safetensors_writer import LazyTensor, write_safetensors
from prebake.documents.canonical import canonical_json

MAX_SHARD_BYTES = 4 * 2**30 - 2**24
"""Largest size of the tensors in a file. With header and tar headers it stays below 4 GiB."""


def write_shards(
    folder: Path, stem: str, tensors: Mapping[str, LazyTensor], limit: int = MAX_SHARD_BYTES
) -> tuple[Path, ...]:
    """Write ``tensors`` in their order as ``<stem>.safetensors``, or as shards and an index if they exceed ``limit`` bytes. A
    larger tensor gets a file of its own. Returns the paths, the index last."""
    groups = _divide(tensors, limit)
    if len(groups) == 1:
        path = folder / f"{stem}.safetensors"
        write_safetensors(path, groups[0])
        return (path,)
    paths = [folder / f"{stem}-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    for path, group in zip(paths, groups, strict=True):
        write_safetensors(path, group)
    index = folder / f"{stem}.safetensors.index.json"
    weight_map = {name: path.name for path, group in zip(paths, groups, strict=True) for name in group}
    total = sum(tensor.length for tensor in tensors.values())
    index.write_bytes(canonical_json({"metadata": {"total_size": total}, "weight_map": weight_map}))
    return (*paths, index)


def load_tensors(path: Path) -> dict[str, LazyTensor]:
    """The tensors of a safetensors file by increasing offset. Each is read when it is written.

    Raises WeightsError if the file is invalid.
    """
    regions = sorted(read_index(path).values(), key=lambda region: (region.offset, region.name))
    return {region.name: _tensor(region) for region in regions}


def _tensor(region: TensorRegion) -> LazyTensor:
    return LazyTensor(region.dtype, region.shape, lambda: np.frombuffer(region.read(), np.uint8))


def _divide(tensors: Mapping[str, LazyTensor], limit: int) -> list[dict[str, LazyTensor]]:
    groups: list[dict[str, LazyTensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if groups[-1] and size + tensor.length > limit:
            groups.append({})
            size = 0
        groups[-1][name] = tensor
        size += tensor.length
    return groups
