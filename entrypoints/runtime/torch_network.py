"""Networks in torch: built on the meta device, then loaded tensor by tensor from memory-mapped weight files.

The container and the compile stage both use this module, so that both load in one way. ``torch.nn.Module`` would initialize
every weight only to replace it. ``from_pretrained`` copies the bytes that are mapped here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from entrypoints.contract import Network
from entrypoints.runtime.arena import RunSizes, find_arenas

Build = Callable[[str, Mapping[str, Any]], Network]

TORCH_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""The dtype of the weights and of the computation, by the manifest's ``precision``."""


class NetworkMismatch(Exception):
    """Configuration, weights and network do not fit each other."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class PublishedTensor(NamedTuple):
    """A tensor of a weight file: the file's path under /models, and the tensor's name in it."""

    file: str
    published: str


class NetworkFiles(NamedTuple):
    """The files of one component: paths under ``models``."""

    models: Path
    name: str
    config: str
    weights: tuple[str, ...]


def build_network(build: Build, files: NetworkFiles) -> Network:
    """The network without its weights. Raises NetworkMismatch if ``build`` fails on the configuration."""
    try:
        config = json.loads((files.models / files.config).read_bytes())
        with torch.device("meta"):
            return build(files.name, config)
    except Exception as error:  # frameworks raise any exception for a configuration that they cannot use
        raise NetworkMismatch(
            [f"{files.config}: no network can be built from it: {type(error).__name__}: {error}"]
        ) from error


def find_tensors(network: Network, files: NetworkFiles) -> dict[str, PublishedTensor]:
    """The published tensor of each tensor of the network, by the network's name.

    Raises NetworkMismatch with every tensor that is missing, unexpected, of another shape, or in two files.
    """
    expected = {name: list(tensor.shape) for name, tensor in network.weights.state_dict().items()}
    found: dict[str, PublishedTensor] = {}
    problems: list[str] = []
    for file in files.weights:
        try:
            published = dict(_read_shapes(files.models / file))
        except (OSError, SafetensorError) as error:
            problems.append(f"{file}: cannot be read as safetensors: {error}")
            continue
        for title, shape in sorted(published.items()):
            name = network.rename(title)
            if name is None:
                continue
            if name not in expected:
                problems.append(f"{file}: {title} is not a tensor of the network that {files.config} describes")
            elif name in found:
                problems.append(f"{file}: {title} is in {found[name].file} too")
            elif shape != expected[name]:
                problems.append(f"{file}: {title} is {shape}, {files.config} gives {expected[name]}")
            found[name] = PublishedTensor(file, title)
    for name, other in _list_tied(network):
        if name not in found and other in found:
            found[name] = found[other]
    problems += [
        f"{files.name}: {name} {expected[name]} is in no weight file" for name in expected if name not in found
    ]
    problems += _list_unfilled(network)
    if problems:
        raise NetworkMismatch(problems)
    return found


def load_network(network: Network, files: NetworkFiles, device: str, precision: str) -> torch.nn.Module:
    """The network's module with its weights, in eval mode. Raises NetworkMismatch as ``find_tensors`` does.

    On a CPU, a tensor of the right dtype is not copied: its bytes stay in the page cache.
    """
    tensors: dict[str, torch.Tensor] = {}
    places = find_tensors(network, files)
    for file in files.weights:
        with safe_open(files.models / file, framework="pt", device="cpu") as content:
            for name, place in places.items():
                if place.file == file:
                    tensors[name] = _move(content.get_tensor(place.published), device, TORCH_DTYPES[precision])
    network.weights.load_state_dict(tensors, strict=True, assign=True)
    for module in network.module.modules():
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)
    return network.module.eval().requires_grad_(requires_grad=False)


class TorchSession:
    """A network with the interface of a graph: numpy arrays in and out. ``run`` may be called from any thread."""

    def __init__(self, module: torch.nn.Module, outputs: tuple[str, ...], device: str) -> None:
        self._module = module
        self._outputs = outputs
        self._device = device
        self._sizes = find_arenas().add(RunSizes())

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: self._to_tensor(array) for name, array in inputs.items()}
        with torch.inference_mode():
            result = self._module(**tensors)
        outputs = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        arrays = {name: _to_array(output) for name, output in zip(self._outputs, outputs, strict=True)}
        self._sizes.note(inputs, arrays)
        return arrays

    def _to_tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    """Floating-point numbers become float32: numpy has no bfloat16."""
    array: np.ndarray = (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
    return array


def _move(tensor: torch.Tensor, device: str, dtype: torch.dtype) -> torch.Tensor:
    """The published bytes are copied to the device and converted there."""
    moved = tensor.to(device)
    return moved.to(dtype) if tensor.is_floating_point() else moved


def _read_shapes(path: Path) -> Iterator[tuple[str, list[int]]]:
    with safe_open(path, framework="pt", device="cpu") as file:
        for name in file.keys():  # noqa: SIM118 (safe_open is no mapping)
            yield name, list(file.get_slice(name).get_shape())


def _list_tied(network: Network) -> Iterator[tuple[str, str]]:
    """Pairs of names of the same tensor (tied weights): files hold it once."""
    names: dict[int, list[str]] = {}
    for name, tensor in network.weights.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    yield from ((one, other) for same in names.values() for one in same for other in same if one != other)


def _list_unfilled(network: Network) -> Iterable[str]:
    """A problem for each parameter or buffer that would stay on the meta device after loading."""
    filled = {id(tensor) for tensor in network.weights.state_dict(keep_vars=True).values()}
    tensors = (*network.module.named_parameters(), *network.module.named_buffers())
    return [
        f"{name} stays on the meta device: model_torch.py has to create it on the CPU, or name it among the weights"
        for name, tensor in tensors
        if tensor.is_meta and id(tensor) not in filled
    ]
