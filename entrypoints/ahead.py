"""Blocks that AOTInductor compiled at bake time: shared objects that read the weights where torch holds them.

A library is opened as it lies in the image: nothing is unpacked, copied or compiled at start. It takes whatever it is given
for what it was compiled for, so that every call is held against what that was, and one that is not goes the way of the
network itself.
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

LIBRARY = "block.so"
CALL = "call.json"
Tell = Callable[[str], None]


class Unfit(Exception):
    """A library that is not of this network, or that this machine cannot load."""


class Call(NamedTuple):
    """What a block was compiled for: of each input in turn its type, device and dimensions (a number, or the least and the
    largest, none where it has no bound), or the value that it had; and how dimensions have to go together, in Python, where
    ``L`` holds the arguments by name. The guards are code as the library beside them is, and as trusted."""

    inputs: tuple[Mapping[str, Any], ...]
    guards: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Call:
        document = json.loads(path.read_bytes())
        return cls(tuple(document["inputs"]), tuple(document["guards"]))

    def find_difference(self, arguments: Mapping[str, Any], leaves: Sequence[Any]) -> str:
        """Why a call is another than what was compiled; empty where it is not. ``leaves`` are the arguments' own."""
        if len(leaves) != len(self.inputs):
            return f"{len(leaves)} inputs, compiled for {len(self.inputs)}"
        for index, (wanted, leaf) in enumerate(zip(self.inputs, leaves, strict=True)):
            if not fits(wanted, leaf):
                return f"input {index} is {describe(leaf)}, compiled for {wanted}"
        for guard in self.guards:
            if not eval(guard, {"__builtins__": {}}, {"L": arguments}):  # noqa: S307 (the image's own, and its digest was checked)
                return f"compiled for {guard}"
        return ""


def fits(wanted: Mapping[str, Any], leaf: Any) -> bool:
    """Whether one input is what was compiled for."""
    if not isinstance(leaf, torch.Tensor):
        return "value" in wanted and type(leaf) is type(wanted["value"]) and leaf == wanted["value"]
    if (str(leaf.dtype), leaf.device.type) != (wanted.get("dtype"), wanted.get("device")):
        return False
    dims = wanted["dims"]
    return len(dims) == leaf.ndim and all(map(within, leaf.shape, dims))


def within(size: int, wanted: int | Sequence[int | None]) -> bool:
    if isinstance(wanted, int):
        return size == wanted
    least, largest = wanted
    return (least is None or size >= least) and (largest is None or size <= largest)


def describe(leaf: Any) -> str:
    return f"{leaf.dtype} {list(leaf.shape)} on {leaf.device.type}" if isinstance(leaf, torch.Tensor) else repr(leaf)


class CompiledBlock:
    """Stands in the place of a block's ``forward``. May be called from any thread; calls of one block wait for each other."""

    def __init__(self, block: torch.nn.Module, folder: Path, device: str, tell: Tell) -> None:
        """Raises Unfit. ``tell`` hears of each call that was not what was compiled."""
        self._eager = block.forward
        self._signature = inspect.signature(block.forward)
        self._tell = tell
        try:
            self._call = Call.read(folder / CALL)
            self._runner = open_library(folder, device)
            spec, answer = self._runner.get_call_spec()
            self._spec, self._answer = treespec_loads(spec), treespec_loads(answer)
            self._constants = find_constants(block, self._runner.get_constant_names_to_original_fqns())
            self._runner.update_constant_buffer(
                self._constants, False, True, True
            )  # of the caller's: nothing is copied
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise Unfit(f"{folder.name}: {type(error).__name__}: {error}") from error

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        bound = name_arguments(self._signature, arguments, named)
        leaves, spec = tree_flatten(((), bound))
        difference = self._difference(bound, leaves, spec)
        if difference:
            self._tell(difference)
            return self._eager(*arguments, **named)
        tensors = [leaf.contiguous() for leaf in leaves if isinstance(leaf, torch.Tensor)]
        return tree_unflatten(self._runner.run(tensors), self._answer)

    def _difference(self, bound: Mapping[str, Any], leaves: Sequence[Any], spec: TreeSpec) -> str:
        if spec != self._spec:
            return f"arguments {', '.join(bound)} of another structure than compiled for"
        return self._call.find_difference(bound, leaves)


def name_arguments(signature: inspect.Signature, given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments by name, in the order of ``forward``'s. Raises TypeError where it takes no such."""
    bound = signature.bind(*given, **named).arguments
    rest = next((each.name for each in signature.parameters.values() if each.kind is each.VAR_KEYWORD), "")
    more = bound.pop(rest, {})
    return {**bound, **dict(sorted(more.items()))}


def open_library(folder: Path, device: str) -> Any:
    """AOTInductor's runner of the library there; what it needs of a GPU lies beside it."""
    path = os.fspath(folder / LIBRARY)
    if device == "cuda":
        return torch._C._aoti.AOTIModelContainerRunnerCuda(path, 1, device, os.fspath(folder))
    return torch._C._aoti.AOTIModelContainerRunnerCpu(path, 1)


def find_constants(block: torch.nn.Module, names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """The block's own tensors, by what the library calls them. Raises KeyError where it has no such."""
    parameters = block.named_parameters(remove_duplicate=False)
    own: dict[str, torch.Tensor] = {**dict(parameters), **dict(block.named_buffers(remove_duplicate=False))}
    return {name: own[original] for name, original in names.items()}


def install(blocks: Sequence[torch.nn.Module], chosen: Mapping[int, Path], device: str, tell: Tell) -> None:
    """Have blocks, by their number, computed by the library of a folder each. Raises Unfit, and changes none then."""
    compiled = {index: CompiledBlock(blocks[index], folder, device, tell) for index, folder in chosen.items()}
    for index, each in compiled.items():
        blocks[index].forward = each
