"""Wraps a torch module so that it computes in half precision; the dtypes of its inputs and outputs do not change."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection
from typing import Any

import torch

from prebake.bake.weights.dtypes import PRECISIONS


class HalfModule(torch.nn.Module):
    """``module`` in ``precision`` (fp16 or bf16). ``forward`` has the module's parameters, since torch names the graph's inputs
    after them.

    The module itself is not changed. Parameters are converted one by one, so memory grows by half.

    kept: names of the inputs, parameters and buffers that stay in fp32.
    """

    def __init__(self, module: torch.nn.Module, precision: str, kept: Collection[str] = ()) -> None:
        super().__init__()
        self._dtype: torch.dtype = getattr(torch, PRECISIONS[precision])
        self._kept = frozenset(kept)
        halves: dict[int, Any] = {
            id(tensor): self._to_half(tensor)
            for name, tensor in (*module.named_parameters(), *module.named_buffers())
            if tensor.is_floating_point() and name not in self._kept
        }
        self.module = copy.deepcopy(module, halves)
        signature = inspect.signature(module.forward)

        def forward(*values: Any, **named: Any) -> Any:
            return self._run(_by_name(signature.bind(*values, **named)))

        forward.__signature__ = signature  # type: ignore[attr-defined]
        self.forward = forward
        self.eval()

    def _to_half(self, tensor: torch.Tensor) -> torch.Tensor:
        half = tensor.detach().to(self._dtype)
        return torch.nn.Parameter(half, requires_grad=False) if isinstance(tensor, torch.nn.Parameter) else half

    def _run(self, inputs: dict[str, Any]) -> Any:
        cast = {name: value if name in self._kept else _cast(value, self._dtype) for name, value in inputs.items()}
        outputs = self.module(**cast)
        if isinstance(outputs, torch.Tensor):
            return _cast(outputs, torch.float32)
        return tuple(_cast(output, torch.float32) for output in outputs)


def _by_name(bound: inspect.BoundArguments) -> dict[str, Any]:
    """All arguments by name, including those of ``**inputs``."""
    kinds = {name: parameter.kind for name, parameter in bound.signature.parameters.items()}
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        given.update(value if kinds[name] is inspect.Parameter.VAR_KEYWORD else {name: value})
    return given


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
