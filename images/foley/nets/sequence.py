"""Positions along a sequence: the nearest-exact index tables and the rotary embedding.

Everything is float32 tensor arithmetic over the lengths, so that an exported graph computes the same for any length.
"""

from __future__ import annotations

import torch
from torch import Tensor

THETA = 10000.0

Rotation = tuple[Tensor, Tensor]
"""Cosines, and sines with the sign of their place in a pair, each ``[tokens, 1, head size]``."""


def nearest(source: Tensor, target: Tensor, axis: int = 1) -> Tensor:
    """Rows of ``source`` that nearest-exact resampling takes for each row of ``target``: int64 ``[target length]``.

    The scale and the product are float32 by rule: exact integer arithmetic gives other rows for some lengths
    (24 to 74, 12 to 74, 122 to 21 ...), and the published model was trained with the float32 ones.
    """
    length = torch.scalar_tensor(source.shape[axis], dtype=torch.float32)
    scale = length / torch.scalar_tensor(target.shape[axis], dtype=torch.float32)
    middle = torch.arange(target.shape[axis], dtype=torch.float32, device=target.device) + 0.5
    return torch.minimum(torch.floor(middle * scale), length - 1.0).to(torch.int64)


def positions(tokens: Tensor) -> Tensor:
    """0, 1, 2 ... for ``tokens [B, N, ...]``: float32 ``[N]``."""
    return torch.arange(tokens.shape[1], dtype=torch.float32, device=tokens.device)


def turning_speeds(head_size: int) -> Tensor:
    """Radians a position, for each element of a head, the two of a pair alike: float32 ``[head size]``.

    Made by torch and kept as a constant of the graph: another runtime's power function differs in the last bit, which
    a thousand positions on is an error of 1e-5 in the result.
    """
    pairs = torch.arange(0, head_size, 2, dtype=torch.float32, device="cpu")
    return (1.0 / THETA ** (pairs / head_size)).repeat_interleave(2)


def rotation(places: Tensor, speeds: Tensor) -> Rotation:
    """The rotary tables for tokens at ``places`` (float32 ``[N]``)."""
    angles = torch.outer(places, speeds)[:, None, :]
    signs = torch.tensor([-1.0, 1.0], device=angles.device).repeat(len(speeds) // 2)
    return angles.cos(), angles.sin() * signs


def rotate(heads: Tensor, by: Rotation) -> Tensor:
    """Turn adjacent pairs of the last axis of ``heads [B, N, H, D]``: ``(a, b)`` to ``(a cos - b sin, b cos + a sin)``, of the
    type that they had.

    In four nodes of a graph: apart and together again, the pairs would be thirteen.
    """
    cosine, sine = by
    partners = torch.arange(heads.shape[-1], device=heads.device) ^ 1
    return (heads * cosine + heads.index_select(-1, partners) * sine).to(heads.dtype)
