"""What ``torch.compile`` left at bake time, and what it was left for.

A compile cache holds machine code for one version of each part of torch and one kind of device; so does a library
(``entrypoints.ahead``). Either is used where all of them are the same: compiling anew is what a start cannot afford.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import torch

from entrypoints.machine import describe_processor

CACHE = "torch.cache"
"""The file of a compile cache, in its artifact's folder."""
BLOCK_OPTIONS: Mapping[str, Any] = {"fullgraph": True, "dynamic": True}
"""What ``torch.compile`` compiles blocks by."""


def describe_machine(device: str) -> dict[str, str]:
    """All that what was compiled follows from besides the network: its key fields."""
    fields = {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}
    if device == "cuda":
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        name, triton = torch.cuda.get_device_name(), metadata.version("triton")
        return {**fields, "triton": triton, "device": name, "capability": capability}
    capability = torch.backends.cpu.get_cpu_capability()
    return {**fields, "device": "cpu", "capability": capability, "processor": describe_processor()}


def compile_blocks(blocks: Iterable[torch.nn.Module]) -> None:
    """Have each compiled by its first call, whole and for any shape; equal blocks are compiled once."""
    for block in blocks:
        block.compile(**BLOCK_OPTIONS)


def save_cache() -> bytes:
    """What was compiled in this process since it began; empty where nothing was."""
    import torch._dynamo

    saved = torch.compiler.save_cache_artifacts()
    return b"" if saved is None else saved[0]


def load_cache(content: bytes) -> bool:
    """Put it where ``torch.compile`` looks first. False where torch cannot read it."""
    import torch._dynamo

    return torch.compiler.load_cache_artifacts(content) is not None


def count_compiled() -> tuple[int, int]:
    """How many graphs came from the cache in this process, and how many were compiled."""
    from torch._dynamo.utils import counters

    found = counters["inductor"]
    return found["fxgraph_cache_hit"], found["fxgraph_cache_miss"] + found["fxgraph_cache_bypass"]
