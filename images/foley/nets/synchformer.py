"""Synchformer's visual half: 16 frames of video to 8 feature vectors, by attention divided into time and space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from images.foley.nets.layers import Mlp, attend
from images.foley.nets.transformer import count_blocks

PREFIX = "vfeat_extractor."
OTHER_PARTS = ("afeat_extractor.", "vproj.", "aproj.", "transformer.")
"""The other parts of the published file: the audio half and the comparison of the two. Generation does not use them."""
UNUSED = ("patch_embed.proj.",)
"""In the visual half of the file, and not in its computation: a patch embedding for single images."""

TELLING = ("cls_token",)
"""The tensor that defines the width."""
HEAD_SIZE = 64
TUBELET, PATCH = 2, 16
SLOTS, SITES = 8, 196
EPS = 1e-6


@dataclass(frozen=True)
class SynchformerConfig:
    """Sizes of one model. The number of heads is not in its tensors; the published model's are 64 wide."""

    size: int
    blocks: int
    heads: int


def read_config(shapes: Mapping[str, tuple[int, ...]]) -> SynchformerConfig:
    """The sizes behind the visual half's tensors, named without the prefix."""
    size = shapes["cls_token"][-1]
    return SynchformerConfig(size=size, blocks=count_blocks(shapes, "blocks"), heads=size // HEAD_SIZE)


class DividedAttention(nn.Module):
    """Attention within groups of patches: those of one site through time, or those of one time slot.

    The class token attends to everything and is seen by every group.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(size, 3 * size)
        self.proj = nn.Linear(size, size)

    def forward(self, x: Tensor, through_time: bool) -> Tensor:
        """``x [W, 1 + slots * sites, C]``, the class token first, then the patches of one time slot after the other."""
        queries, keys, values = torch.unflatten(self.qkv(x), -1, (3, self.heads, -1)).unbind(2)
        overall = attend(queries[:, :1], keys, values)
        grouped = attend(
            _group(queries, through_time).flatten(0, 1),
            _lead(keys, through_time).flatten(0, 1),
            _lead(values, through_time).flatten(0, 1),
        )
        grid = torch.unflatten(grouped, 0, (-1, SITES if through_time else SLOTS))
        patches = (grid.transpose(1, 2) if through_time else grid).flatten(1, 2)
        out: Tensor = self.proj(torch.cat((overall, patches), dim=1))
        return out


def _group(heads: Tensor, through_time: bool) -> Tensor:
    """The patches of ``heads [W, 1 + slots * sites, H, D]`` as ``[W, groups, members, H, D]``."""
    grid = torch.unflatten(heads[:, 1:], 1, (SLOTS, SITES))
    return grid.transpose(1, 2) if through_time else grid


def _lead(heads: Tensor, through_time: bool) -> Tensor:
    """The same, the class token before the members of each group."""
    groups = _group(heads, through_time)
    first = heads[:, None, :1].expand(-1, groups.shape[1], -1, -1, -1)
    return torch.cat((first, groups), dim=2)


class Block(nn.Module):
    """Attention through time, attention in space, MLP."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size, eps=EPS)
        self.attn = DividedAttention(size, heads)
        self.timeattn = DividedAttention(size, heads)
        self.norm2 = nn.LayerNorm(size, eps=EPS)
        self.mlp = Mlp(size, 4 * size, "none")
        self.norm3 = nn.LayerNorm(size, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.timeattn(self.norm3(x), through_time=True)
        x = x + self.attn(self.norm1(x), through_time=False)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class FusedAttention(nn.Module):
    """Plain self-attention, its tensors named as torch's own fused layer names them."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * size, size))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * size))
        self.out_proj = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        merged = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        queries, keys, values = torch.unflatten(merged, -1, (3, self.heads, -1)).unbind(2)
        out: Tensor = self.out_proj(attend(queries, keys, values))
        return out


class SpatialAggregation(nn.Module):
    """The patches of one time slot to one vector: a transformer layer over them and a class token, whose row it is."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size))
        self.self_attn = FusedAttention(size, heads)
        self.linear1 = nn.Linear(size, 4 * size)
        self.linear2 = nn.Linear(4 * size, size)
        self.norm1 = nn.LayerNorm(size, eps=EPS)
        self.norm2 = nn.LayerNorm(size, eps=EPS)

    def forward(self, slots: Tensor) -> Tensor:
        """``slots [W * slots, sites, C]`` to ``[W * slots, C]``."""
        x = torch.cat((self.cls_token.expand(slots.shape[0], -1, -1), slots), dim=1)
        x = (x + self.self_attn(self.norm1(x)))[:, 0]
        out: Tensor = x + self.linear2(functional.gelu(self.linear1(self.norm2(x))))
        return out


class PatchEmbedding(nn.Module):
    """Blocks of 2 frames by 16 by 16 pixels to tokens, time before row before column."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, size, (TUBELET, PATCH, PATCH), stride=(TUBELET, PATCH, PATCH))

    def forward(self, windows: Tensor) -> Tensor:
        out: Tensor = self.proj(windows).flatten(2).transpose(1, 2)
        return out


class Synchformer(nn.Module):
    """Windows ``[W, 3, 16, 224, 224]`` in [-1, 1] to features ``[W, 8, C]``, one for each two frames."""

    def __init__(self, config: SynchformerConfig) -> None:
        super().__init__()
        self.config, size = config, config.size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SITES, size))
        self.temp_embed = nn.Parameter(torch.zeros(1, SLOTS, size))
        self.patch_embed_3d = PatchEmbedding(size)
        self.blocks = nn.ModuleList(Block(size, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(size, eps=EPS)
        self.spatial_attn_agg = SpatialAggregation(size, config.heads)

    def forward(self, windows: Tensor) -> Tensor:
        x = self._embed(windows)
        for block in self.blocks:
            x = block(x)
        patches = torch.unflatten(self.norm(x[:, 1:]), 1, (SLOTS, SITES)).flatten(0, 1)
        out: Tensor = torch.unflatten(self.spatial_attn_agg(patches), 0, (-1, SLOTS))
        return out

    def _embed(self, windows: Tensor) -> Tensor:
        places = self.pos_embed[:, None, 1:] + self.temp_embed[:, :, None]
        patches = self.patch_embed_3d(windows) + places.flatten(1, 2)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(windows.shape[0], -1, -1)
        return torch.cat((first, patches), dim=1)
