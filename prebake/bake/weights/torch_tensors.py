"""torch tensors in safetensors files: weights that were converted from a pickle, or with weight norm folded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from prebake.bake.errors import BakeError
from prebake.bake.weights.dtypes import DTYPES
from prebake.bake.weights.safetensors_writer import LazyTensor

_NAMES = {getattr(torch, dtype.name): dtype.safetensors for dtype in DTYPES}


def from_torch(tensors: Mapping[str, torch.Tensor]) -> dict[str, LazyTensor]:
    """The tensors to write, by name. Equal tensors give equal bytes, whatever their order.

    Raises BakeError for anything but a dense tensor of a dtype that safetensors has.
    """
    return {name: _tensor(name, tensors[name]) for name in sorted(tensors)}


def _tensor(name: str, tensor: torch.Tensor) -> LazyTensor:
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.dtype not in _NAMES:
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        raise BakeError(
            f"The tensor '{name}' cannot be written to safetensors: it is {kind}.",
            next_action="leave it out of bake.convert, or cast it to another dtype",
        )
    return LazyTensor(_NAMES[tensor.dtype], tuple(tensor.shape), lambda: _bytes(tensor))


def _bytes(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    # The memory of a lazily conjugated or negated view differs from its values.
    resolved = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    data: npt.NDArray[np.uint8] = resolved.reshape(-1).view(torch.uint8).numpy()
    return data
