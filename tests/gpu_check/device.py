"""What is measured of a device alone: its context, and how fast bytes come to it."""

from __future__ import annotations

import time

import torch

COPY = 256 << 20
"""Bytes of one copy."""


def wait(device: str) -> None:
    """Until everything that was asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def create_context(device: str) -> None:
    """The driver's and the libraries' own: the first product on a device loads what all later ones use."""
    once = torch.ones(8, 8, device=device, dtype=torch.bfloat16)
    torch.mm(once, once)
    wait(device)


def measure_bandwidth(device: str, size: int = COPY, runs: int = 5) -> float:
    """Bytes a second from pinned memory of the host to the device; on a CPU from memory to memory. The best of ``runs``."""
    source = torch.zeros(size, dtype=torch.uint8, pin_memory=device == "cuda")
    target = torch.zeros(size, dtype=torch.uint8, device=device)
    seconds = []
    for _ in range(runs):
        wait(device)
        start = time.perf_counter()
        target.copy_(source, non_blocking=True)
        wait(device)
        seconds.append(time.perf_counter() - start)
    return size / min(seconds)


def allocated(device: str) -> int:
    """Bytes of tensors on a GPU, in torch's own account."""
    return torch.cuda.memory_allocated() if device == "cuda" else 0
