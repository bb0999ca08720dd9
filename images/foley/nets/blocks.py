"""The two kinds of transformer block: two streams (audio and video, text beside them), then one (audio)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from images.foley.nets.layers import MACHINE_EPSILON, ConvMlp, Mlp, Modulation, RmsNorm, attend, modulate
from images.foley.nets.sequence import Rotation, nearest, positions, rotate, rotation

TRIPLE_EPS = 1e-6
SINGLE_EPS = 1e-5


class Turns(NamedTuple):
    """What rotates queries and keys in the triple blocks: the same for all of them, so made once."""

    audio: Rotation
    visual: Rotation
    text: Rotation
    joint_audio: Rotation
    joint_visual: Rotation
    visual_rows: Tensor
    """The visual row that stands in each visual token's place in joint attention, int64 ``[M]``."""


def make_turns(audio: Tensor, visual: Tensor, text: Tensor, speeds: Tensor) -> Turns:
    """For tokens ``[B, N, .]``, ``[B, M, .]`` and ``[B, T, .]``.

    In joint attention audio token i sits at position 2i. The visual tokens are stretched to the audio's length, slot b
    at position 2b + 1, rotated, and taken back to their own length; each one therefore reads one row and one slot.
    Queries and keys do so, values stay where they are.
    """
    slots = nearest(audio, visual)
    return Turns(
        audio=rotation(positions(audio), speeds),
        visual=rotation(positions(visual), speeds),
        text=rotation(positions(text), speeds),
        joint_audio=rotation(2.0 * positions(audio), speeds),
        joint_visual=rotation(2.0 * slots.to(torch.float32) + 1.0, speeds),
        visual_rows=nearest(visual, audio)[slots],
    )


class TripleBlock(nn.Module):
    """Joint self-attention of audio and video, cross-attention of both to the text, and an MLP each."""

    def __init__(self, size: int, head_size: int) -> None:
        super().__init__()
        self.head_size = head_size
        self.audio_mod = Modulation(size, 9)
        self.audio_self_attn_qkv = nn.Linear(size, 3 * size)
        self.audio_self_q_norm = RmsNorm(head_size, TRIPLE_EPS)
        self.audio_self_k_norm = RmsNorm(head_size, TRIPLE_EPS)
        self.audio_self_proj = nn.Linear(size, size)
        self.v_cond_mod = Modulation(size, 9)
        self.v_cond_attn_qkv = nn.Linear(size, 3 * size)
        self.v_cond_attn_q_norm = RmsNorm(head_size, TRIPLE_EPS)
        self.v_cond_attn_k_norm = RmsNorm(head_size, TRIPLE_EPS)
        self.v_cond_self_proj = nn.Linear(size, size)
        self.audio_cross_q = nn.Linear(size, size)
        self.v_cond_cross_q = nn.Linear(size, size)
        self.text_cross_kv = nn.Linear(size, 2 * size)
        self.audio_cross_q_norm = RmsNorm(head_size, TRIPLE_EPS)
        self.v_cond_cross_q_norm = RmsNorm(head_size, TRIPLE_EPS)
        self.text_cross_k_norm = RmsNorm(head_size, TRIPLE_EPS)
        self.audio_cross_proj = nn.Linear(size, size)
        self.v_cond_cross_proj = nn.Linear(size, size)
        self.audio_mlp = Mlp(size, 4 * size, "tanh")
        self.v_cond_mlp = Mlp(size, 4 * size, "tanh")

    def forward(
        self, audio: Tensor, visual: Tensor, text: Tensor, moment: Tensor, turns: Turns
    ) -> tuple[Tensor, Tensor]:
        """New ``audio [B, N, C]`` and ``visual [B, M, C]``, given ``text [B, T, C]`` and the time vector ``[B, C]``.

        The streams' queries attend apart, which changes nothing in the result: in the last block, whose visual result
        nobody reads, an exported graph then leaves all of the visual tail out by itself.
        """
        a, v = self.audio_mod(moment[:, None]), self.v_cond_mod(moment[:, None])
        heard, seen = self._attend_selves(_modulate(audio, a[0], a[1]), _modulate(visual, v[0], v[1]), turns)
        audio = audio + a[2] * self.audio_self_proj(heard)
        visual = visual + v[2] * self.v_cond_self_proj(seen)
        heard, seen = self._attend_text(_modulate(audio, a[3], a[4]), _modulate(visual, v[3], v[4]), text, turns)
        audio = audio + a[5] * self.audio_cross_proj(heard)
        visual = visual + v[5] * self.v_cond_cross_proj(seen)
        audio = audio + a[8] * self.audio_mlp(_modulate(audio, a[6], a[7]))
        visual = visual + v[8] * self.v_cond_mlp(_modulate(visual, v[6], v[7]))
        return audio, visual

    def _attend_selves(self, audio: Tensor, visual: Tensor, turns: Turns) -> tuple[Tensor, Tensor]:
        audio_q, audio_k, audio_v = self._split(self.audio_self_attn_qkv(audio), 3)
        visual_q, visual_k, visual_v = self._split(self.v_cond_attn_qkv(visual), 3)
        audio_q = rotate(self.audio_self_q_norm(audio_q), turns.joint_audio)
        audio_k = rotate(self.audio_self_k_norm(audio_k), turns.joint_audio)
        visual_q = rotate(self.v_cond_attn_q_norm(visual_q).index_select(1, turns.visual_rows), turns.joint_visual)
        visual_k = rotate(self.v_cond_attn_k_norm(visual_k).index_select(1, turns.visual_rows), turns.joint_visual)
        keys = torch.cat((visual_k, audio_k), dim=1)
        values = torch.cat((visual_v, audio_v), dim=1)
        return attend(audio_q, keys, values), attend(visual_q, keys, values)

    def _attend_text(self, audio: Tensor, visual: Tensor, text: Tensor, turns: Turns) -> tuple[Tensor, Tensor]:
        keys, values = self._split(self.text_cross_kv(text), 2)
        keys = rotate(self.text_cross_k_norm(keys), turns.text)
        (audio_q,) = self._split(self.audio_cross_q(audio), 1)
        (visual_q,) = self._split(self.v_cond_cross_q(visual), 1)
        audio_q = rotate(self.audio_cross_q_norm(audio_q), turns.audio)
        visual_q = rotate(self.v_cond_cross_q_norm(visual_q), turns.visual)
        return attend(audio_q, keys, values), attend(visual_q, keys, values)

    def _split(self, merged: Tensor, parts: int) -> tuple[Tensor, ...]:
        """``[B, N, parts * C]``, the parts one after the other, as ``parts`` times ``[B, N, H, D]``."""
        return tuple(torch.unflatten(part, -1, (-1, self.head_size)) for part in merged.chunk(parts, dim=-1))


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return modulate(x, shift, scale, TRIPLE_EPS)


class SingleBlock(nn.Module):
    """Self-attention and two convolutions over the audio tokens, modulated token by token."""

    def __init__(self, size: int, head_size: int) -> None:
        super().__init__()
        self.head_size = head_size
        self.modulation = Modulation(size, 6)
        self.linear_qkv = nn.Linear(size, 3 * size)
        self.linear1 = nn.Conv1d(size, size, 3, padding=1)
        self.linear2 = ConvMlp(size, 3)
        self.q_norm = RmsNorm(head_size, MACHINE_EPSILON)
        self.k_norm = RmsNorm(head_size, MACHINE_EPSILON)

    def forward(self, audio: Tensor, condition: Tensor, by: Rotation) -> Tensor:
        """New ``audio [B, N, C]``, under ``condition [B, N, C]``."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)
        attended = self._attend_self(modulate(audio, shift1, scale1, SINGLE_EPS), by)
        audio = audio + gate1 * self.linear1(attended.transpose(1, 2)).transpose(1, 2)
        out: Tensor = audio + gate2 * self.linear2(modulate(audio, shift2, scale2, SINGLE_EPS))
        return out

    def _attend_self(self, audio: Tensor, by: Rotation) -> Tensor:
        # Here, unlike in the triple blocks, query, key and value lie innermost: (H, D, 3).
        queries, keys, values = torch.unflatten(self.linear_qkv(audio), -1, (-1, self.head_size, 3)).unbind(-1)
        return attend(rotate(self.q_norm(queries), by), rotate(self.k_norm(keys), by), values)
