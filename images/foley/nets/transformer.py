"""The diffusion transformer: predicts the velocity of an audio latent, given video and text features."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from images.foley.nets.blocks import TRIPLE_EPS, SingleBlock, TripleBlock, make_turns
from images.foley.nets.layers import ConvMlp, GatedUnit
from images.foley.nets.sequence import nearest, positions, rotation, turning_speeds

IN_FP32 = ("timestep", "speeds", "time_in.speeds")
"""Inputs and parameters for which half precision is too coarse: a time of 980, and a thousand positions."""
WINDOW_TOKENS = 8
TIME_SIZE = 256
VISUAL_TAIL = ("v_cond_attn_q_norm.", "v_cond_self_proj.", "v_cond_cross_", "v_cond_mlp.")
"""The parts of the last triple block that compute its visual result, which nothing reads."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of one model. All of them follow from the shapes of its tensors."""

    latent: int
    text: int
    visual: int
    sync: int
    size: int
    head_size: int
    triple_blocks: int
    single_blocks: int


TELLING = (
    "audio_embedder.proj.weight",
    "cond_in.linear_1.weight",
    "empty_clip_feat",
    "empty_sync_feat",
    "single_blocks.0.q_norm.weight",
)
"""The tensors that define the sizes."""


def read_config(shapes: Mapping[str, tuple[int, ...]]) -> TransformerConfig:
    """The sizes of a published state dict, which has all tensors of ``TELLING``."""
    size, latent, _ = shapes["audio_embedder.proj.weight"]
    return TransformerConfig(
        latent=latent,
        text=shapes["cond_in.linear_1.weight"][1],
        visual=shapes["empty_clip_feat"][-1],
        sync=shapes["empty_sync_feat"][-1],
        size=size,
        head_size=shapes["single_blocks.0.q_norm.weight"][0],
        triple_blocks=count_blocks(shapes, "triple_blocks"),
        single_blocks=count_blocks(shapes, "single_blocks"),
    )


def count_blocks(shapes: Mapping[str, tuple[int, ...]], blocks: str) -> int:
    found = (re.match(rf"{blocks}\.(\d+)\.", name) for name in shapes)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


class TimeEmbedder(nn.Module):
    """Times ``[B]``, in (0, 1000] and not rescaled, to vectors ``[B, C]``; cosines come before sines."""

    speeds: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_SIZE, size), nn.SiLU(), nn.Linear(size, size))
        self.register_buffer("speeds", time_speeds(), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        angles = time[:, None] * self.speeds
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1)
        out: Tensor = self.mlp(waves.to(next(self.mlp.parameters()).dtype))
        return out


def time_speeds() -> Tensor:
    """The frequencies of the time embedding: float32 ``[128]``, a constant of the graph like the rotary ones."""
    half = TIME_SIZE // 2
    return torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device="cpu") / half)


class TextEmbedder(nn.Module):
    """Text states to the transformer's width, once: no block changes them."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(features, size)
        self.linear_2 = nn.Linear(size, size)

    def forward(self, text: Tensor) -> Tensor:
        out: Tensor = self.linear_2(functional.silu(self.linear_1(text)))
        return out


class AudioEmbedder(nn.Module):
    """Latents ``[B, L, N]`` to tokens ``[B, N, C]``."""

    def __init__(self, latent: int, size: int) -> None:
        super().__init__()
        self.proj = nn.Conv1d(latent, size, 1)

    def forward(self, latents: Tensor) -> Tensor:
        out: Tensor = self.proj(latents).transpose(1, 2)
        return out


class FinalLayer(nn.Module):
    """Tokens to latent channels. The published ``adaLN_modulation`` of this layer has no effect and is left out."""

    def __init__(self, size: int, latent: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, latent)

    def forward(self, audio: Tensor) -> Tensor:
        out: Tensor = self.linear(functional.layer_norm(audio, audio.shape[-1:], eps=TRIPLE_EPS)).transpose(1, 2)
        return out


class Transformer(nn.Module):
    """HunyuanVideo-Foley's transformer, any of its sizes, tensors named as published."""

    speeds: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("speeds", turning_speeds(config.head_size), persistent=False)
        size, head_size = config.size, config.head_size
        self.sync_pos_emb = nn.Parameter(torch.zeros(1, 1, WINDOW_TOKENS, config.sync))
        self.empty_clip_feat = nn.Parameter(torch.zeros(1, config.visual))
        self.empty_sync_feat = nn.Parameter(torch.zeros(1, config.sync))
        self.audio_embedder = AudioEmbedder(config.latent, size)
        self.visual_proj = GatedUnit(config.visual, size)
        self.cond_in = TextEmbedder(config.text, size)
        self.time_in = TimeEmbedder(size)
        self.sync_in = nn.Sequential(nn.Linear(config.sync, size), nn.SiLU(), ConvMlp(size, 1))
        self.triple_blocks = nn.ModuleList(TripleBlock(size, head_size) for _ in range(config.triple_blocks))
        self.single_blocks = nn.ModuleList(SingleBlock(size, head_size) for _ in range(config.single_blocks))
        self.final_layer = FinalLayer(size, config.latent)

    def forward(
        self, latents: Tensor, timestep: Tensor, text: Tensor, visual: Tensor, sync: Tensor, conditional: Tensor
    ) -> Tensor:
        """The velocity ``[B, L, N]`` at ``latents [B, L, N]`` and ``timestep [B]``, in (0, 1000].

        ``text [B, T, .]``, ``visual [B, M, .]`` and ``sync [B, windows, 8, .]`` are the encoders' features. In a row
        whose ``conditional [B]`` (bool) is false the learned empty features stand in for ``visual`` and ``sync``.
        """
        visual = torch.where(conditional[:, None, None], visual, self.empty_clip_feat)
        sync = torch.where(conditional[:, None, None, None], sync, self.empty_sync_feat)
        moment = self.time_in(timestep)
        audio = self.audio_embedder(latents)
        beat = self.sync_in((sync + self.sync_pos_emb).flatten(1, 2))
        beat = beat.index_select(1, nearest(beat, audio))
        audio = self._run_triple(audio + beat, self.visual_proj(visual), self.cond_in(text), moment)
        out: Tensor = self.final_layer(self._run_single(audio, beat + moment[:, None]))
        return out

    def _run_triple(self, audio: Tensor, visual: Tensor, text: Tensor, moment: Tensor) -> Tensor:
        turns = make_turns(audio, visual, text, self.speeds)
        for block in self.triple_blocks:
            audio, visual = block(audio, visual, text, moment, turns)
        return audio

    def _run_single(self, audio: Tensor, condition: Tensor) -> Tensor:
        by = rotation(positions(audio), self.speeds)
        for block in self.single_blocks:
            audio = block(audio, condition, by)
        return audio

    def served_tensors(self) -> dict[str, Tensor]:
        """The tensors that the result depends on: all but the visual tail of the last triple block."""
        last = f"triple_blocks.{self.config.triple_blocks - 1}."
        tail = tuple(f"{last}{part}" for part in VISUAL_TAIL)
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(tail)}
