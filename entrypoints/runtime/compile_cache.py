"""The cache that ``torch.compile`` left at bake time, and the facts of the machine that it was compiled for.

A compile cache holds machine code for one version of torch, of its parts and of the device; so does a library
(``entrypoints.runtime.aotinductor``). A start uses it only if all of them are the same: it has no time to compile.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import torch

from entrypoints.hardware.facts import describe_cpu

CACHE_FILE = "torch.cache"
"""The name of the cache file, in its artifact's folder."""
BLOCK_OPTIONS: Mapping[str, Any] = {"fullgraph": True, "dynamic": True}
"""The arguments of ``torch.compile`` for a block."""


def find_torch_facts(device: str) -> dict[str, str]:
    """The facts of this machine that compiled code depends on."""
    fields = {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}
    if device == "cuda":
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        name, triton = torch.cuda.get_device_name(), metadata.version("triton")
        return {**fields, "triton": triton, "device": name, "capability": capability}
    capability = torch.backends.cpu.get_cpu_capability()
    return {**fields, "device": "cpu", "capability": capability, "processor": describe_cpu()}


def compile_blocks(blocks: Iterable[torch.nn.Module]) -> None:
    """Have torch compile each block at its first call, as one graph and for dynamic shapes. Equal blocks are compiled once."""
    for block in blocks:
        block.compile(**BLOCK_OPTIONS)


def save_cache() -> bytes:
    """The cache of everything that this process compiled; empty if it compiled nothing."""
    import torch._dynamo

    saved = torch.compiler.save_cache_artifacts()
    return b"" if saved is None else saved[0]


def load_cache(content: bytes) -> bool:
    """Unpack a cache to where ``torch.compile`` looks first. False if torch cannot read it."""
    import torch._dynamo

    return torch.compiler.load_cache_artifacts(content) is not None


def count_cache_hits() -> tuple[int, int]:
    """The numbers of graphs that came from the cache in this process, and that were compiled."""
    from torch._dynamo.utils import counters

    counts = counters["inductor"]
    return counts["fxgraph_cache_hit"], counts["fxgraph_cache_miss"] + counts["fxgraph_cache_bypass"]
