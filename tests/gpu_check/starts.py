"""Starts with weights of several sizes: phases, what is resident, loaders, and the time over the floor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from tests.gpu_check.checkpoint import Checkpoint
from tests.gpu_check.findings import Finding
from tests.gpu_check.loaders import installed, load_mapped, time_loader
from tests.support.repository import ROOT

PHASES = ("import torch", "import networks", "context", "build", "load", "first inference", "later inference")
BOUND = 1.5
BOUNDED = 10.0
"""Gigabytes of weights that the bound is asked for."""


@dataclass(frozen=True)
class Start:
    """Medians, in seconds. ``floor``: weights over bandwidth, context creation and one inference."""

    gigabytes: float
    weights: int
    resident: int
    finite: bool
    phases: dict[str, float]
    total: float
    bandwidth: float

    @property
    def floor(self) -> float:
        return self.weights / self.bandwidth + self.phases["context"] + self.phases["later inference"]

    @property
    def after_imports(self) -> float:
        return self.total - self.phases["import torch"] - self.phases["import networks"]


def measure_start(checkpoint: Checkpoint, gigabytes: float, device: str, bandwidth: float, runs: int) -> Start:
    """So many processes, one after the other."""
    found = [_start(checkpoint, device) for _ in range(runs)]
    phases = {name: median(each["phases"][name] for each in found) for name in PHASES}
    last, total = found[-1], median(each["total"] for each in found)
    finite = all(each["finite"] for each in found)
    return Start(gigabytes, last["weights"], last["resident"], finite, phases, total, bandwidth)


def judge(start: Start, device: str) -> Iterator[Finding]:
    size = f"{start.gigabytes:g} GB"
    yield Finding(f"{size}, answer", start.finite, "finite numbers" if start.finite else "not a number")
    if device == "cuda":
        apart = start.resident - start.weights
        detail = f"{start.resident} bytes allocated, {start.weights} of weights"
        yield Finding(f"{size}, residency", 0 <= apart <= start.weights // 100, detail)
    ratio, after = start.total / start.floor, start.after_imports / start.floor
    held = ratio <= BOUND if device == "cuda" and start.gigabytes == BOUNDED else None
    detail = f"{start.total:.2f} s is {ratio:.2f} times {start.floor:.2f} s, {after:.2f} times without the imports"
    yield Finding(f"{size}, time over the floor", held, f"{detail}; bound {BOUND} for {BOUNDED:g} GB")


def check_loaders(checkpoint: Checkpoint, device: str) -> Iterator[Finding]:
    """Each once, all giving the same tensors."""
    paths = [checkpoint.folder / file for file in checkpoint.files]
    wanted = load_mapped(paths, "cpu")
    for name, load in installed().items():
        seconds, size, tensors = time_loader(load, paths, device)
        same = tensors.keys() == wanted.keys() and all(
            torch.equal(tensor.cpu(), wanted[name]) for name, tensor in tensors.items()
        )
        yield Finding(
            f"loader {name}", same, f"{size / 1e9:.2f} GB in {seconds:.3f} s, {size / seconds / 1e9:.2f} GB/s"
        )
        del tensors
    if "fastsafetensors" not in installed():
        yield Finding("loader fastsafetensors", None, "is not installed")


def _start(checkpoint: Checkpoint, device: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.gpu_check.start", str(checkpoint.folder), device, *checkpoint.files]
    environment = {"CUDA_MODULE_LOADING": "LAZY", **os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))
