"""Ways to bring published weights to a device, each as ``load(paths, device)`` that gives tensors by name."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from tests.gpu_check.device import wait

Tensors = dict[str, torch.Tensor]
Loader = Callable[[Sequence[Path], str], Tensors]
PIECE = 32 << 20
"""Bytes of one buffer of the ring: pinning costs more than it saves for whole files."""
THREADS = min(8, os.cpu_count() or 1)
TYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "I64": torch.int64}


def load_mapped(paths: Sequence[Path], device: str) -> Tensors:
    """As the container does: each tensor from the mapped file to the device."""
    found: Tensors = {}
    for path in paths:
        with safe_open(path, framework="pt", device="cpu") as file:
            found.update({name: file.get_tensor(name).to(device) for name in file.keys()})  # noqa: SIM118
    return found


def load_by_ring(paths: Sequence[Path], device: str, threads: int = 1) -> Tensors:
    """Pieces of each file through two pinned buffers in turn: one is read into while the other is copied. Each thread has a ring
    and a part of the file of its own."""
    rings = [
        [torch.empty(PIECE, dtype=torch.uint8, pin_memory=device == "cuda") for _ in range(2)] for _ in range(threads)
    ]
    found: Tensors = {}
    for path in paths:
        found.update(_slice(*_copy(path, rings, device)))
    return found


def load_fast(paths: Sequence[Path], device: str) -> Tensors:
    """By fastsafetensors, without GPUDirect Storage."""
    package = import_module("fastsafetensors")
    loader = package.SafeTensorsFileLoader(package.SingleGroup(), torch.device(device), nogds=True)
    loader.add_filenames({0: [str(path) for path in paths]})
    buffer = loader.copy_files_to_device()
    return {name: buffer.get_tensor(name).clone() for name in buffer.key_to_rank_lidx}


LOADERS: Mapping[str, Loader] = {
    "mapped": load_mapped,
    "pinned ring": load_by_ring,
    "pinned rings": partial(load_by_ring, threads=THREADS),
    "fastsafetensors": load_fast,
}


def installed() -> dict[str, Loader]:
    """Those that can be tried here."""
    return {name: each for name, each in LOADERS.items() if name != "fastsafetensors" or find_spec("fastsafetensors")}


def time_loader(load: Loader, paths: Sequence[Path], device: str) -> tuple[float, int, Tensors]:
    """Seconds until all tensors are on the device, their bytes, and the tensors."""
    wait(device)
    start = time.perf_counter()
    tensors = load(paths, device)
    wait(device)
    return time.perf_counter() - start, sum(tensor.nbytes for tensor in tensors.values()), tensors


def _copy(
    path: Path, rings: Sequence[Sequence[torch.Tensor]], device: str
) -> tuple[dict[str, dict[str, Any]], torch.Tensor]:
    with path.open("rb", buffering=0) as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
    body = torch.empty(path.stat().st_size - start, dtype=torch.uint8, device=device)
    share = -(-len(body) // len(rings))
    parts = [body[number * share : (number + 1) * share] for number in range(len(rings))]
    starts = [start + number * share for number in range(len(rings))]
    with ThreadPoolExecutor(len(rings)) as pool:
        list(pool.map(_copy_part, [path] * len(rings), starts, parts, rings, [device] * len(rings)))
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, body


def _copy_part(path: Path, start: int, body: torch.Tensor, ring: Sequence[torch.Tensor], device: str) -> None:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        copied: list[torch.cuda.Event | None] = [None, None]
        offset = turn = 0
        while offset < len(body):
            event = copied[turn]
            if event is not None:
                event.synchronize()
            count = file.readinto(ring[turn].numpy().data[: len(body) - offset])
            body[offset : offset + count].copy_(ring[turn][:count], non_blocking=True)
            copied[turn] = _mark(device)
            offset, turn = offset + count, 1 - turn


def _mark(device: str) -> torch.cuda.Event | None:
    if device != "cuda":
        return None
    event: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return event


def _slice(entries: Mapping[str, Mapping[str, Any]], body: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    for name, entry in entries.items():
        first, last = entry["data_offsets"]
        yield name, body[first:last].view(TYPES[str(entry["dtype"])]).view(entry["shape"])
