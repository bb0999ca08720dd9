"""The calls of a network's blocks while the warm-up request is answered: blocks are compiled for these inputs, and compared on
them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from entrypoints.runtime.aotinductor import CompiledBlock, LibraryMismatch, bind_arguments
from prebake.bake.compilers.aotinductor import Arguments, CompiledBlocks, NotCompiled
from prebake.bake.compilers.torch_model import OpenedModel
from prebake.bake.parity.metrics import measure_error
from prebake.bake.parity.results import ParityResult
from prebake.bake.parity.tolerances import default_tolerances
from prebake.bake.weights.numpy_arrays import Array
from prebake.documents.component import Precision

BlockCalls = Mapping[int, Arguments]
"""The arguments of a network's blocks, by the block's number."""


def capture_calls(model: OpenedModel) -> dict[str, dict[int, Arguments]]:
    """By component and block number, the arguments of each block's first call while the warm-up request is answered."""
    calls: dict[str, dict[int, Arguments]] = {name: {} for name in model.networks}
    hooks = [
        block.register_forward_pre_hook(_capturing_hook(calls[name], number), with_kwargs=True)
        for name, network in model.networks.items()
        for number, block in enumerate(network.blocks)
    ]
    try:
        model.answer_warmup()
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def run_blocks(blocks: Sequence[torch.nn.Module], calls: BlockCalls) -> dict[int, list[Array]]:
    """The outputs of each block for its call, by the block's number. The inputs are tensors of inference mode, as in the network:
    torch would compile a block anew for others."""
    with torch.inference_mode():
        inputs = {number: tree_map(_copy, arguments) for number, arguments in sorted(calls.items())}
        return {number: _to_arrays(blocks[number](**arguments)) for number, arguments in inputs.items()}


def compare_libraries(
    name: str,
    blocks: Sequence[torch.nn.Module],
    calls: BlockCalls,
    libraries: Sequence[CompiledBlocks],
    precision: Precision,
) -> list[ParityResult]:
    """Compare the library of every block with the block itself, on the block's call. Raises NotCompiled if a library cannot be
    opened, or refuses the call that it was compiled for."""
    findings: list[ParityResult] = []
    for library in libraries:
        for number in library.blocks:
            with torch.inference_mode():
                expected = _to_arrays(blocks[number](**calls[number]))
                outputs = _run_library(f"{name}, block {number}", blocks[number], calls[number], library)
            findings += compare_outputs(name, {number: expected}, {number: _to_arrays(outputs)}, precision)
    return findings


def compare_outputs(
    name: str, expected: Mapping[int, list[Array]], actual: Mapping[int, list[Array]], precision: Precision
) -> list[ParityResult]:
    """Compare every output of every block of the network ``name``."""
    return [
        _compare_output(f"{name}, block {number}", str(index), precision, *pair)
        for number in expected
        for index, pair in enumerate(zip(expected[number], actual[number], strict=True))
    ]


def _capturing_hook(calls: dict[int, Arguments], number: int) -> Callable[..., None]:
    def capture(block: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if number not in calls:
            bound = bind_arguments(inspect.signature(block.forward), arguments, named)
            with torch.inference_mode(mode=False):
                calls[number] = tree_map(_copy, bound)

    return capture


def _copy(leaf: Any) -> Any:
    """Tensors of inference mode cannot be exported, and a library takes every input as contiguous."""
    return leaf.detach().clone(memory_format=torch.contiguous_format) if isinstance(leaf, torch.Tensor) else leaf


def _run_library(title: str, block: torch.nn.Module, arguments: Arguments, library: CompiledBlocks) -> Any:
    differences: list[str] = []
    tensors = [leaf for leaf in tree_flatten(arguments)[0] if isinstance(leaf, torch.Tensor)]
    device = tensors[0].device.type if tensors else "cpu"
    try:
        outputs = CompiledBlock(block, library.folder, device, differences.append)(**arguments)
    except LibraryMismatch as unfit:
        raise NotCompiled(str(unfit)) from unfit
    if differences:
        raise NotCompiled(f"{title}: the library refuses the call that it was compiled for: {differences[0]}")
    return outputs


def _compare_output(title: str, output: str, precision: Precision, expected: Array, actual: Array) -> ParityResult:
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        fault = f"is {actual.dtype} {list(actual.shape)}, should be {expected.dtype} {list(expected.shape)}"
        return ParityResult(title, 1, output, precision.max_relative_error, None, fault)
    quality = measure_error(expected, actual)
    if precision.bounded:
        return ParityResult(
            title, 1, output, precision.max_relative_error, quality.relative, relative=True, metrics=quality
        )
    tolerance = default_tolerances({output: expected})[output]
    return ParityResult(title, 1, output, tolerance, quality.difference, metrics=quality)


def _to_arrays(outputs: Any) -> list[Array]:
    """Every tensor of a block's outputs. Those of reduced precision become float32: numpy has no bfloat16."""
    tensors = [leaf for leaf in tree_flatten(outputs)[0] if isinstance(leaf, torch.Tensor)]
    return [(tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy() for tensor in tensors]
