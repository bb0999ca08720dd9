"""A module's answers in float64: what its fp32 answers are rounded from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from prebake.bake.arrays import Array
from prebake.bake.graphs import Inputs

LARGEST = 1 << 30
"""Bytes of parameters above which the second copy, of twice the size, is not made."""


def answer_in_float64(module: torch.nn.Module, case: Inputs, outputs: Sequence[str]) -> Mapping[str, Array] | None:
    """``module``'s outputs for ``case`` by name, computed by float64 copies of its parameters and buffers. None if it is too
    large, or computes with tensors that are none of these and stay in fp32."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if sum(each.nbytes for each in tensors.values()) > LARGEST:
        return None
    wide = {name: _wide(each) for name, each in tensors.items()}
    try:
        with torch.no_grad(), _default_type():
            answer = torch.func.functional_call(module, wide, (), {name: _wide(each) for name, each in case.items()})
    except Exception:  # what foreign code raises if types are mixed
        return None
    found = (answer,) if isinstance(answer, torch.Tensor) else tuple(answer)
    if len(found) != len(outputs) or not all(isinstance(each, torch.Tensor) for each in found):
        return None
    return {name: each.numpy() for name, each in zip(outputs, found, strict=True)}


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().double() if tensor.is_floating_point() else tensor


@contextmanager
def _default_type() -> Iterator[None]:
    """Tensors that ``forward`` makes without naming a type are float64 as well."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
