"""Torch tensors as safetensors has them: what a pickle or a folded weight-norm becomes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from prebake.bake.errors import BakeError
from prebake.bake.safetensors_file import Tensor

_DTYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.uint16: "U16", torch.int16: "I16",
    torch.uint32: "U32", torch.int32: "I32", torch.uint64: "U64", torch.int64: "I64", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64", torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip


def from_torch(tensors: Mapping[str, torch.Tensor]) -> dict[str, Tensor]:
    """By name: the same values under the same names are written as the same bytes, whatever their order.

    Raises BakeError for what is not a dense tensor of a type that safetensors has.
    """
    return {name: _tensor(name, tensors[name]) for name in sorted(tensors)}


def _tensor(name: str, tensor: torch.Tensor) -> Tensor:
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.dtype not in _DTYPES:
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        raise BakeError(f"'{name}' cannot be written to safetensors: {kind}.", next_action="Leave it out, or cast it.")
    return Tensor(_DTYPES[tensor.dtype], tuple(tensor.shape), lambda: _bytes(tensor))


def _bytes(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    # A lazily conjugated or negated view has other bytes than its values: resolve it before looking at memory.
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    data: npt.NDArray[np.uint8] = plain.reshape(-1).view(torch.uint8).numpy()
    return data
