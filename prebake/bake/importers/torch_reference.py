"""The outputs of a torch module that its graph is compared with, and the same outputs computed in float64."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from prebake.bake.errors import BakeError
from prebake.bake.importers.torch_module import Axis, Inputs
from prebake.bake.parity.compare import Case
from prebake.bake.weights.numpy_arrays import Array

MAX_PARAMETER_BYTES = 1 << 30
"""Larger modules are not run in float64, which needs a copy of twice the size."""


def check_cases(
    component: str, module: torch.nn.Module, cases: Sequence[Inputs], dynamic: Mapping[str, Mapping[int, Axis]]
) -> None:
    """Raise BakeError if the cases cannot verify the graph."""
    shapes = {tuple((name, tuple(tensor.shape)) for name, tensor in sorted(case.items())) for case in cases}
    faults = {
        "the module is in training mode": ("Call module.eval() before bake.graph.", module.training),
        "it has fewer than two cases": ("Pass at least two cases to bake.graph.", len(cases) < 2),
        "all cases have the same shape, so dynamic axes would not be checked": (
            "Pass cases of different shapes to bake.graph.",
            any(dynamic.values()) and len(shapes) < 2,
        ),
    }
    for fault, (next_action, present) in faults.items():
        if present:
            raise BakeError(f"{component}: {fault}.", next_action=next_action)


def check_fp32_names(component: str, module: torch.nn.Module, inputs: Inputs, kept: Collection[str]) -> None:
    """Raise BakeError if ``keep_in_fp32`` has an unknown name. Checked in every precision, so that a later change of precision
    does not fail."""
    tensors = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    if unknown := [name for name in kept if name not in inputs and name not in tensors]:
        raise BakeError(
            f"{component}: keep_in_fp32 names '{', '.join(unknown)}', which is not an input, parameter or buffer.",
            next_action=f"use an input ({', '.join(inputs)}), or a name from named_parameters or named_buffers",
        )


def run_reference(component: str, module: torch.nn.Module, case: Inputs, outputs: Sequence[str]) -> Case:
    """Run the module. Raises BakeError if the number of its outputs differs from that of ``outputs``, the names."""
    with torch.no_grad():
        result = module(**case)
    tensors = (result,) if isinstance(result, torch.Tensor) else tuple(result)
    if len(tensors) != len(outputs):
        raise BakeError(
            f"{component}: the module has {len(tensors)} outputs, but bake.graph was given {len(outputs)} names.",
            next_action="name each output of the module in `outputs`",
        )
    return Case(
        {name: to_array(component, name, tensor) for name, tensor in case.items()},
        {name: to_array(component, name, tensor) for name, tensor in zip(outputs, tensors, strict=True)},
    )


def to_array(component: str, name: str, tensor: torch.Tensor) -> Array:
    """The tensor as a numpy array. Raises BakeError if it is bfloat16 or not finite."""
    if tensor.dtype is torch.bfloat16:
        raise BakeError(
            f"{component}: the tensor '{name}' is bfloat16, which numpy lacks.",
            next_action="cast it to float32 in the module",
        )
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise BakeError(
            f"{component}: the tensor '{name}' is not finite.",
            next_action="pass cases to bake.graph for which all inputs and outputs are finite",
        )
    array: Array = tensor.detach().cpu().numpy()
    return array


def run_in_float64(module: torch.nn.Module, case: Inputs, outputs: Sequence[str]) -> Mapping[str, Array] | None:
    """The module's outputs by name, computed with float64 copies of its parameters, buffers and inputs.

    Returns None if the module is too large, or if it uses other tensors, which stay in fp32.
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_PARAMETER_BYTES:
        return None
    wide = {name: _to_float64(tensor) for name, tensor in tensors.items()}
    inputs = {name: _to_float64(tensor) for name, tensor in case.items()}
    try:
        with torch.no_grad(), _default_float64():
            result = torch.func.functional_call(module, wide, (), inputs)
    except Exception:  # the module's code raises any exception if dtypes are mixed
        return None
    values = (result,) if isinstance(result, torch.Tensor) else tuple(result)
    if len(values) != len(outputs) or not all(isinstance(value, torch.Tensor) for value in values):
        return None
    return {name: value.numpy() for name, value in zip(outputs, values, strict=True)}


def _to_float64(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().double() if tensor.is_floating_point() else tensor


@contextmanager
def _default_float64() -> Iterator[None]:
    """Tensors that ``forward`` creates without a dtype are float64, too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
