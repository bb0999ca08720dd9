"""Blocks that AOTInductor compiled at bake time: shared libraries that read the weights in torch's own memory.

A library is loaded from the image: nothing is unpacked, copied or compiled at start. AOTInductor does not validate inputs, so
each call is compared with the shapes and dtypes that the library was compiled for. A call that differs is computed by torch.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten, treespec_loads

LIBRARY_FILE = "block.so"
CALL_FILE = "call.json"
Log = Callable[[str], None]


class LibraryMismatch(Exception):
    """A library of another network, or one that this machine cannot load."""


class CallSignature(NamedTuple):
    """The calls that a block was compiled for.

    ``inputs``: for each input its dtype, device and ``dims``, or its ``value`` if it is no tensor. A dimension is a number, or a
    pair of minimum and maximum (None: no bound). ``guards``: torch.export's conditions between dimensions, as Python
    expressions over ``L``, the arguments by name. They are code, and as trusted as the library beside them.
    """

    inputs: tuple[Mapping[str, Any], ...]
    guards: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> CallSignature:
        document = json.loads(path.read_bytes())
        return cls(tuple(document["inputs"]), tuple(document["guards"]))

    def find_difference(self, arguments: Mapping[str, Any], leaves: Sequence[Any]) -> str:
        """How a call differs from those the block was compiled for; empty if it does not. ``leaves``: the flattened arguments."""
        if len(leaves) != len(self.inputs):
            return f"{len(leaves)} inputs, compiled for {len(self.inputs)}"
        for index, (expected, leaf) in enumerate(zip(self.inputs, leaves, strict=True)):
            if not matches(expected, leaf):
                return f"input {index} is {describe_input(leaf)}, compiled for {expected}"
        for guard in self.guards:
            if not eval(guard, {"__builtins__": {}}, {"L": arguments}):  # noqa: S307 (code of the image, whose digest was verified)
                return f"compiled for {guard}"
        return ""


def matches(expected: Mapping[str, Any], leaf: Any) -> bool:
    """Whether one input is of the dtype, device and shape, or has the value, that was compiled for."""
    if not isinstance(leaf, torch.Tensor):
        return "value" in expected and type(leaf) is type(expected["value"]) and leaf == expected["value"]
    if (str(leaf.dtype), leaf.device.type) != (expected.get("dtype"), expected.get("device")):
        return False
    dims = expected["dims"]
    return len(dims) == leaf.ndim and all(map(is_within, leaf.shape, dims))


def is_within(size: int, bounds: int | Sequence[int | None]) -> bool:
    if isinstance(bounds, int):
        return size == bounds
    minimum, maximum = bounds
    return (minimum is None or size >= minimum) and (maximum is None or size <= maximum)


def describe_input(leaf: Any) -> str:
    return f"{leaf.dtype} {list(leaf.shape)} on {leaf.device.type}" if isinstance(leaf, torch.Tensor) else repr(leaf)


class CompiledBlock:
    """Replaces a block's ``forward``. May be called from any thread; calls of one block run one at a time."""

    def __init__(self, block: torch.nn.Module, folder: Path, device: str, log: Log) -> None:
        """``log`` is called with the difference of each call that torch computes. Raises LibraryMismatch."""
        self._eager = block.forward
        self._signature = inspect.signature(block.forward)
        self._log = log
        try:
            self._call = CallSignature.read(folder / CALL_FILE)
            self._runner = open_library(folder, device)
            spec, answer = self._runner.get_call_spec()
            self._spec, self._answer = treespec_loads(spec), treespec_loads(answer)
            self._constants = find_constants(block, self._runner.get_constant_names_to_original_fqns())
            # The last argument: the library uses the caller's tensors and copies nothing.
            self._runner.update_constant_buffer(self._constants, False, True, True)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise LibraryMismatch(f"{folder.name}: {type(error).__name__}: {error}") from error

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        bound = bind_arguments(self._signature, arguments, named)
        leaves, spec = tree_flatten(((), bound))
        difference = self._find_difference(bound, leaves, spec)
        if difference:
            self._log(difference)
            return self._eager(*arguments, **named)
        tensors = [leaf.contiguous() for leaf in leaves if isinstance(leaf, torch.Tensor)]
        return tree_unflatten(self._runner.run(tensors), self._answer)

    def _find_difference(self, bound: Mapping[str, Any], leaves: Sequence[Any], spec: TreeSpec) -> str:
        if spec != self._spec:
            return f"arguments {', '.join(bound)} have another structure than the compiled ones"
        return self._call.find_difference(bound, leaves)


def bind_arguments(signature: inspect.Signature, given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments by name, in the order of ``forward``'s parameters. Raises TypeError for arguments it does not have."""
    bound = signature.bind(*given, **named).arguments
    parameters = signature.parameters.values()
    keywords = next((parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD), "")
    return {**bound, **dict(sorted(bound.pop(keywords, {}).items()))}


def open_library(folder: Path, device: str) -> Any:
    """AOTInductor's runner of the library in ``folder``. Its GPU kernels lie beside it."""
    path = os.fspath(folder / LIBRARY_FILE)
    if device == "cuda":
        return torch._C._aoti.AOTIModelContainerRunnerCuda(path, 1, device, os.fspath(folder))
    return torch._C._aoti.AOTIModelContainerRunnerCpu(path, 1)


def find_constants(block: torch.nn.Module, names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """The block's tensors by the library's names. Raises KeyError if the block lacks one."""
    parameters = block.named_parameters(remove_duplicate=False)
    tensors: dict[str, torch.Tensor] = {**dict(parameters), **dict(block.named_buffers(remove_duplicate=False))}
    return {name: tensors[original] for name, original in names.items()}


def install_libraries(blocks: Sequence[torch.nn.Module], chosen: Mapping[int, Path], device: str, log: Log) -> None:
    """Replace the ``forward`` of each chosen block (number to folder) by its library. If one does not fit, no block is changed.

    Raises LibraryMismatch.
    """
    compiled = {index: CompiledBlock(blocks[index], folder, device, log) for index, folder in chosen.items()}
    for index, forward in compiled.items():
        blocks[index].forward = forward
