"""What a component is asked, and what the framework answers to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError
from prebake.bake.graphs import Axis, Inputs
from prebake.bake.parity import Case


def reference_of(component: str, module: torch.nn.Module, case: Inputs, outputs: Sequence[str]) -> Case:
    with torch.no_grad():
        answer = module(**case)
    tensors = (answer,) if isinstance(answer, torch.Tensor) else tuple(answer)
    if len(tensors) != len(outputs):
        raise BakeError(f"{component}: {len(tensors)} outputs, {len(outputs)} names.", next_action="Name each output.")
    return Case(
        {name: to_array(component, name, each) for name, each in case.items()},
        {name: to_array(component, name, each) for name, each in zip(outputs, tensors, strict=True)},
    )


def to_array(component: str, name: str, tensor: torch.Tensor) -> Array:
    if tensor.dtype is torch.bfloat16 or (tensor.is_floating_point() and not bool(tensor.isfinite().all())):
        raise BakeError(
            f"{component}: '{name}' is bfloat16, which numpy lacks, or not finite.",
            next_action="Cast it to float32 in the module; give cases whose values are finite.",
        )
    array: Array = tensor.detach().cpu().numpy()
    return array


def check_cases(
    component: str, module: torch.nn.Module, cases: Sequence[Inputs], dynamic: Mapping[str, Mapping[int, Axis]]
) -> None:
    """Raises BakeError where what they show of the module would not be what is served."""
    shapes = {tuple((name, tuple(each.shape)) for name, each in sorted(case.items())) for case in cases}
    faults = {
        "the module is in training mode": module.training,
        "it needs two cases at least": len(cases) < 2,
        "its cases have one shape, so a dynamic axis would not be checked": any(dynamic.values()) and len(shapes) < 2,
    }
    for fault, present in faults.items():
        if present:
            raise BakeError(f"{component}: {fault}.", next_action="Correct its export.py.")


def check_kept(component: str, module: torch.nn.Module, inputs: Inputs, kept: Collection[str]) -> None:
    """In every precision: the names are to be right on the day when another is asked for."""
    tensors = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    if unknown := [name for name in kept if name not in inputs and name not in tensors]:
        raise BakeError(
            f"{component}: keep_in_fp32 names '{', '.join(unknown)}', which is no input, parameter or buffer.",
            next_action=f"Its inputs are {', '.join(inputs)}; the others are called as named_parameters and named_buffers do.",
        )
