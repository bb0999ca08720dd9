"""Layers that several of the networks share. Token layout is ``[B, N, C]``, heads are ``[B, N, H, D]``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MACHINE_EPSILON = 1.1920929e-07
"""float32's: the QK-norm of the single blocks adds it, as the framework's default did where the weights were made."""


class RmsNorm(nn.Module):
    """Root-mean-square norm over the last axis, statistics in float32, the gain applied after the cast back."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        # Divided by the root, not multiplied by its reciprocal: so ONNX Runtime knows it, and runs seven nodes as one.
        normed = wide / torch.sqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return normed.to(x.dtype) * self.weight


class ConvMlp(nn.Module):
    """Gated convolution along tokens, no biases: ``w2(silu(w1 x) * w3 x)``, all of one odd kernel size."""

    def __init__(self, size: int, kernel: int) -> None:
        super().__init__()
        hidden = conv_mlp_width(size)
        self.w1 = nn.Conv1d(size, hidden, kernel, padding=kernel // 2, bias=False)
        self.w2 = nn.Conv1d(hidden, size, kernel, padding=kernel // 2, bias=False)
        self.w3 = nn.Conv1d(size, hidden, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.transpose(1, 2)
        gated = functional.silu(self.w1(channels)) * self.w3(channels)
        out: Tensor = self.w2(gated).transpose(1, 2)
        return out


class GatedUnit(nn.Module):
    """The same gate over plain linear layers: how visual features enter the transformer."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(features, size, bias=False)
        self.w2 = nn.Linear(size, size, bias=False)
        self.w3 = nn.Linear(features, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w2(functional.silu(self.w1(x)) * self.w3(x))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between, in its tanh or its exact form."""

    def __init__(self, size: int, hidden: int, approximate: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size, hidden)
        self.fc2 = nn.Linear(hidden, size)
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x), approximate=self.approximate))
        return out


class Modulation(nn.Module):
    """Shifts, scales and gates from a condition: ``parts`` chunks of the width of ``condition``."""

    def __init__(self, size: int, parts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, parts * size)
        self.parts = parts

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.linear(functional.silu(condition)).chunk(self.parts, dim=-1))


def conv_mlp_width(size: int) -> int:
    """Hidden channels of a ConvMlp over ``size`` channels: two thirds of 4 * size, up to a multiple of 256."""
    return 256 * -(-int(2 * 4 * size / 3) // 256)


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """LayerNorm without gain or bias, then ``* (1 + scale) + shift``."""
    return functional.layer_norm(x, x.shape[-1:], eps=eps) * (1.0 + scale) + shift


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention without a mask, scale 1/sqrt(D), over heads ``[B, N, H, D]``; gives ``[B, N, H * D]``."""
    merged = functional.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)
    )
    return merged.transpose(1, 2).flatten(2)
