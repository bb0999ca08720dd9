"""Whether the container's memory limit can hold the weights: computed before anything is opened.

On a CPU, ONNX Runtime and torch map weights from their files. So the kernel can start the container with a lower limit, but it
then reads weights from the disk again at each inference. Prepacked copies are in no file: without room for them the kernel kills
the process. Either way the weights need their size once, as a prepacked copy replaces what it was made of.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from entrypoints.errors import Fault, MemoryLimitTooLow
from entrypoints.hardware.container_memory import ContainerMemory
from entrypoints.hardware.providers import CPU
from entrypoints.manifest.values import MANIFEST_FILE, ByteRanges, Manifest, OnnxComponent

SERVER_BYTES = 12 << 20
"""The least memory that the server process allocates."""
GRAPHS_BYTES = 22 << 20
"""What a model process allocates at least for Python, numpy and ONNX Runtime; their files are not counted. With a model of a few
kilobytes both processes were measured at 42 MiB, and the kernel killed one at a limit of 40 MiB."""
TORCH_BYTES = 80 << 20
"""With torch besides."""


class Needs(NamedTuple):
    """Bytes: ``weights`` by component, each byte of a file once; ``runtimes`` of the processes."""

    weights: Mapping[str, int]
    runtimes: int

    @property
    def total(self) -> int:
        return sum(self.weights.values()) + self.runtimes


def check_limit(
    models: Path, manifest: Manifest, memory: ContainerMemory, together: Collection[str] | None = None
) -> None:
    """Raises MemoryLimitTooLow if the limit is below the sum of the weights that an inference reads and of the runtimes.
    Activations need more on top. Reads nothing but the limit, unless that is about the size of the image's files.

    ``together``: the models that are in memory at once, by name; None: all that the image has.
    """
    limit = memory.read_limit()
    if limit is None or find_upper_bound(manifest) <= limit:
        return
    manifests = list_manifests(models, manifest, together)
    needs = Needs(count_weights(models, manifests), count_runtime_bytes(manifests))
    swap = memory.read_swap()
    if needs.total > limit + swap:
        raise MemoryLimitTooLow(describe_needs(needs, limit, swap), {"limit": limit, **needs._asdict()})


def describe_needs(needs: Needs, limit: int, swap: int) -> str:
    by_name = ", ".join(f"{name} {size:,}" for name, size in needs.weights.items() if size)
    extra = f" and {swap:,} of swap" if swap else ""
    return (
        f"the model needs at least {needs.total:,} bytes: weights of {sum(needs.weights.values()):,}"
        f"{f' ({by_name})' if by_name else ''}, and {needs.runtimes:,} for the interpreter and the runtimes; "
        f"the container's limit is {limit:,}{extra}"
    )


def find_upper_bound(manifest: Manifest) -> int:
    """Of the needs, known without another look at the image: all files, and torch in each process."""
    if manifest.multi_model is None:
        files, models = sum(file.size for file in manifest.files.values()), 1
    else:
        files, models = manifest.multi_model.file_bytes, manifest.multi_model.models
    return files + SERVER_BYTES + models * (GRAPHS_BYTES + TORCH_BYTES)


def count_runtime_bytes(manifests: Collection[Manifest]) -> int:
    return SERVER_BYTES + sum(GRAPHS_BYTES + (TORCH_BYTES if manifest.torch else 0) for manifest in manifests)


def list_manifests(models: Path, manifest: Manifest, together: Collection[str] | None) -> list[Manifest]:
    """The manifests of the models that share the limit. One that cannot be read is the fault of its model's start."""
    if manifest.multi_model is None:
        return [manifest]
    from entrypoints.manifest.reader import read_manifest

    found = []
    for name in json.loads((models / MANIFEST_FILE).read_bytes())["models"]:
        if together is not None and name not in together:
            continue
        try:
            found.append(read_manifest(models, name))
        except Fault:
            continue
    return found


def count_weights(models: Path, manifests: Iterable[Manifest]) -> dict[str, int]:
    """Bytes by component. A byte that several components use counts for the first of them. A table whose rows are looked up (of
    embeddings) does not count, as an inference reads few of its rows."""
    from entrypoints.hardware.weight_use import list_dense_graph_ranges, list_dense_tensor_ranges

    counted: dict[str, list[tuple[int, int]]] = {}
    sizes: dict[str, int] = {}
    for manifest in manifests:
        for component in manifest.components.values():
            if isinstance(component, OnnxComponent):
                graphs = list_cpu_graphs(component)
                ranges = find_smallest([list_dense_graph_ranges(models, *graph) for graph in graphs])
            else:
                ranges = list_dense_tensor_ranges(models, component) if runs_on_cpu(manifest) else {}
            model = f"{manifest.multi_model.prefix}/" if manifest.multi_model else ""
            sizes[f"{model}{component.name}"] = sum(
                add_ranges(counted.setdefault(file, []), new) for file, new in ranges.items()
            )
    return sizes


def runs_on_cpu(manifest: Manifest) -> bool:
    """Whether torch computes on the CPU. A GPU's memory holds the weights: the host needs each only while it is copied there."""
    return manifest.torch is not None and manifest.torch.device == "cpu"


def list_cpu_graphs(component: OnnxComponent) -> Iterator[tuple[str, str, ByteRanges]]:
    """The graphs that a start may open the component with: file, folder of the weights, and their ranges. None if a GPU may hold
    them."""
    graphs = [(each.providers[0], each.graph, each.weights_folder, each.byte_ranges) for each in component.artifacts]
    graphs.append((component.providers[0], component.graph, "", component.byte_ranges))
    if all(provider == CPU for provider, *_ in graphs):
        yield from ((graph, folder, ranges) for _, graph, folder, ranges in graphs)


def find_smallest(candidates: list[ByteRanges]) -> ByteRanges:
    """A lower bound has to hold whichever candidate is opened."""
    return min(candidates, key=lambda ranges: sum(length for each in ranges.values() for _, length in each), default={})


def add_ranges(counted: list[tuple[int, int]], new: Iterable[tuple[int, int]]) -> int:
    """Add (offset, length) ranges to sorted (start, end) ranges that do not touch each other. Returns how many bytes are new."""
    before = sum(end - start for start, end in counted)
    merged: list[tuple[int, int]] = []
    for start, end in sorted([*counted, *((offset, offset + length) for offset, length in new)]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    counted[:] = merged
    return sum(end - start for start, end in counted) - before
