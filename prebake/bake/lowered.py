"""A torch module that computes in half precision, between inputs and outputs of the types that it had."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection
from typing import Any

import torch

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Lowered(torch.nn.Module):
    """``module`` in ``precision``. The module itself stays as it is: its parameters are converted one by one, so that memory
    grows by half. ``forward`` takes the module's own arguments, which torch names the graph's inputs after.

    ``kept``: the inputs, parameters and buffers that stay as they are, by name.
    """

    def __init__(self, module: torch.nn.Module, precision: str, kept: Collection[str] = ()) -> None:
        super().__init__()
        self._dtype = _DTYPES[precision]
        self._kept = frozenset(kept)
        lower: dict[int, Any] = {
            id(each): self._lower(each)
            for name, each in (*module.named_parameters(), *module.named_buffers())
            if each.is_floating_point() and name not in self._kept
        }
        self.module = copy.deepcopy(module, lower)
        signature = inspect.signature(module.forward)

        def forward(*values: Any, **named: Any) -> Any:
            return self._run(_by_name(signature.bind(*values, **named)))

        forward.__signature__ = signature  # type: ignore[attr-defined]
        self.forward = forward
        self.eval()

    def _lower(self, tensor: torch.Tensor) -> torch.Tensor:
        lower = tensor.detach().to(self._dtype)
        return torch.nn.Parameter(lower, requires_grad=False) if isinstance(tensor, torch.nn.Parameter) else lower

    def _run(self, inputs: dict[str, Any]) -> Any:
        lower = {name: each if name in self._kept else _cast(each, self._dtype) for name, each in inputs.items()}
        answer = self.module(**lower)
        if isinstance(answer, torch.Tensor):
            return _cast(answer, torch.float32)
        return tuple(_cast(each, torch.float32) for each in answer)


def _by_name(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Every argument, those of ``**inputs`` too."""
    kinds = {name: each.kind for name, each in bound.signature.parameters.items()}
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        given.update(value if kinds[name] is inspect.Parameter.VAR_KEYWORD else {name: value})
    return given


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
