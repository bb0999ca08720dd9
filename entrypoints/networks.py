"""Networks in torch over published weights: made on the meta device, filled tensor by tensor from mapped files.

The container serves by this module and the compile stage checks by it, so that both load in one way. ``torch.nn.Module``
would initialise every weight only to see it replaced, and ``from_pretrained`` reads what is mapped here.
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

Build = Callable[[str, Mapping[str, Any]], Network]

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Of the arithmetic and of the weights, by the manifest's word."""


class Misfit(Exception):
    """Configuration, weights and network do not fit each other."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Tensor(NamedTuple):
    """Where a tensor of a network lies: its name in its file, by the file's path under /models."""

    file: str
    published: str


class Parts(NamedTuple):
    """What a component is made of: paths under ``models``."""

    models: Path
    name: str
    config: str
    weights: tuple[str, ...]


def build_network(build: Build, parts: Parts) -> Network:
    """The network without its weights. Raises Misfit where the configuration describes none."""
    try:
        config = json.loads((parts.models / parts.config).read_bytes())
        with torch.device("meta"):
            return build(parts.name, config)
    except Exception as error:  # the frameworks check a configuration by whatever it makes fail
        raise Misfit([f"{parts.config}: describes no network: {type(error).__name__}: {error}"]) from error


def find_tensors(network: Network, parts: Parts) -> dict[str, Tensor]:
    """Every tensor of the network, by its name there. Raises Misfit that names all that are missing, unexpected, of
    another shape, or there twice."""
    expected = {name: list(tensor.shape) for name, tensor in network.weights.state_dict().items()}
    found: dict[str, Tensor] = {}
    problems: list[str] = []
    for file in parts.weights:
        try:
            published = dict(_shapes(parts.models / file))
        except (OSError, SafetensorError) as error:
            problems.append(f"{file}: cannot be read as safetensors: {error}")
            continue
        for title, shape in sorted(published.items()):
            name = network.rename(title)
            if name is None:
                continue
            if name not in expected:
                problems.append(f"{file}: {title} is no tensor of what {parts.config} describes")
            elif name in found:
                problems.append(f"{file}: {title} is in {found[name].file} too")
            elif shape != expected[name]:
                problems.append(f"{file}: {title} is {shape}, {parts.config} says {expected[name]}")
            found[name] = Tensor(file, title)
    for name, other in _tied(network):
        if name not in found and other in found:
            found[name] = found[other]
    problems += [
        f"{parts.name}: {name} {expected[name]} is in no weight file" for name in expected if name not in found
    ]
    problems += _unmade(network)
    if problems:
        raise Misfit(problems)
    return found


def load_network(network: Network, parts: Parts, device: str, precision: str) -> torch.nn.Module:
    """The network's module with its weights, ready to compute. Raises Misfit as ``find_tensors`` does.

    On a CPU a tensor of the right type is not copied: its bytes are the page cache's.
    """
    tensors: dict[str, torch.Tensor] = {}
    places = find_tensors(network, parts)
    for file in parts.weights:
        with safe_open(parts.models / file, framework="pt", device="cpu") as content:
            for name, place in places.items():
                if place.file == file:
                    tensors[name] = _moved(content.get_tensor(place.published), device, DTYPES[precision])
    network.weights.load_state_dict(tensors, strict=True, assign=True)
    for module in network.module.modules():
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)
    return network.module.eval().requires_grad_(requires_grad=False)


class NetworkSession:
    """A component in torch behind the port of a graph: numpy's arrays in and out. ``run`` may be called from any thread."""

    def __init__(self, module: torch.nn.Module, outputs: tuple[str, ...], device: str) -> None:
        self._module = module
        self._outputs = outputs
        self._device = device

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {name: self._taken(array) for name, array in inputs.items()}
        with torch.inference_mode():
            answer = self._module(**given)
        answers = (answer,) if isinstance(answer, torch.Tensor) else tuple(answer)
        return {name: _given(each) for name, each in zip(self._outputs, answers, strict=True)}

    def _taken(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)


def _given(tensor: torch.Tensor) -> np.ndarray:
    """Numbers of any precision as float32: numpy has no bfloat16."""
    array: np.ndarray = (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
    return array


def _moved(tensor: torch.Tensor, device: str, dtype: torch.dtype) -> torch.Tensor:
    """The published bytes are moved, and changed where they arrive."""
    moved = tensor.to(device)
    return moved.to(dtype) if tensor.is_floating_point() else moved


def _shapes(path: Path) -> Iterator[tuple[str, list[int]]]:
    with safe_open(path, framework="pt", device="cpu") as file:
        for name in file.keys():  # noqa: SIM118 (no mapping)
            yield name, list(file.get_slice(name).get_shape())


def _tied(network: Network) -> Iterator[tuple[str, str]]:
    """Names of one and the same tensor, each with each: files hold it once."""
    names: dict[int, list[str]] = {}
    for name, tensor in network.weights.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    yield from ((one, other) for same in names.values() for one in same for other in same if one != other)


def _unmade(network: Network) -> Iterable[str]:
    """What would stay on the meta device: no weight file is asked for it, and nothing made it."""
    filled = {id(tensor) for tensor in network.weights.state_dict(keep_vars=True).values()}
    tensors = (*network.module.named_parameters(), *network.module.named_buffers())
    return [
        f"{name} is made by nobody: model_torch.py has to make it on the CPU, or name it among the weights"
        for name, tensor in tensors
        if tensor.is_meta and id(tensor) not in filled
    ]
