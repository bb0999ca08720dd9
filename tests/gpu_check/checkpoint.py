"""Weights of any size for the check: equal blocks in bf16, written once, under names as published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from entrypoints.runtime.torch_network import NetworkFiles

GB = 10**9
SHARD = GB
"""Bytes in one file, so that writing takes no more memory than that."""


@dataclass(frozen=True)
class Checkpoint:
    """``config.json`` and files of safetensors in a folder; ``size``: bytes of tensors."""

    folder: Path
    width: int
    files: tuple[str, ...]
    size: int

    @property
    def parts(self) -> NetworkFiles:
        return NetworkFiles(self.folder, "net", "config.json", self.files)


def write_checkpoint(folder: Path, gigabytes: float) -> Checkpoint:
    """About so many bytes of ``tests.support.images.blocks``'s blocks. What is there already is taken as it is."""
    width = 4096 if gigabytes >= 0.5 else 1024
    layers = max(1, round(gigabytes * GB / (8 * width * width)))
    place = folder / f"{width}x{layers}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(json.dumps({"width": width, "layers": layers}))
    files, size = [], 0
    for number, shard in enumerate(_shards(width, layers)):
        files.append(f"{number}.safetensors")
        size += sum(tensor.nbytes for tensor in shard.values())
        if not (place / files[-1]).exists():
            save_file({f"net.{name}": tensor for name, tensor in shard.items()}, place / "writing")
            (place / "writing").rename(place / files[-1])
    return Checkpoint(place, width, tuple(files), size)


def _shards(width: int, layers: int) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors of each file in turn. Every layer has the same numbers, as what is timed does not depend on them."""
    torch.manual_seed(1)
    shared = {
        "inner.weight": torch.randn(2 * width, width, dtype=torch.bfloat16) / width,
        "inner.bias": torch.zeros(2 * width, dtype=torch.bfloat16),
        "outer.weight": torch.randn(width, 2 * width, dtype=torch.bfloat16) / width,
        "outer.bias": torch.zeros(width, dtype=torch.bfloat16),
    }
    first = {"first.weight": torch.eye(width, dtype=torch.bfloat16), "count": torch.zeros((), dtype=torch.int64)}
    each = max(1, SHARD // (8 * width * width))
    for start in range(0, layers, each):
        own = range(start, min(start + each, layers))
        shard = {f"layers.{layer}.{name}": tensor.clone() for layer in own for name, tensor in shared.items()}
        yield {**first, **shard} if start == 0 else shard
