"""A model with one of everything: a tied weight, linear layers, a convolution, half precisions, an empty tensor."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from prebake.bake.authoring import Bake


class Words(torch.nn.Module):
    """Tokens to scores over the vocabulary by the same table; published as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(96, 32)
        self.inner = torch.nn.Linear(32, 48)
        self.outer = torch.nn.Linear(48, 32)
        self.fp16 = torch.nn.Parameter(torch.zeros(32, 32, dtype=torch.float16))
        self.bf16 = torch.nn.Parameter(torch.zeros(96, 32, dtype=torch.bfloat16))
        self.nothing = torch.nn.Parameter(torch.zeros(0, 32))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.table(tokens) + torch.nn.functional.embedding(tokens, self.bf16).float()
        hidden = hidden + self.outer(torch.nn.functional.gelu(self.inner(hidden)))
        hidden = torch.cat([hidden @ self.fp16.float(), self.nothing.expand(hidden.shape[0], 0, 32)], dim=1)
        return torch.nn.functional.linear(hidden, self.table.weight)


class Sound(torch.nn.Module):
    """A convolution, then a table that no weight file holds; comes as a pickle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 32, 3, padding=1)

    def forward(self, x: torch.Tensor, unused: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(0, 1, 32 * 16).reshape(32, 16)
        return torch.einsum("bct,cd->bdt", self.conv(x), ramp)


def export(bake: Bake) -> None:
    words, sound = Words().eval(), Sound().eval()
    words.load_state_dict(load_file(bake.checkpoint / "words/model.safetensors"))
    sound.load_state_dict(bake.open_pickle("sound.pth")["state_dict"])
    bake.convert("sound", sound.state_dict())
    tokens = [torch.arange(6).reshape(2, 3), torch.arange(20).reshape(4, 5)]
    bake.graph("words", words, [{"tokens": each} for each in tokens], ["scores"], {"tokens": {0: "batch", 1: "length"}})
    signals = [torch.linspace(-1, 1, 4 * n).reshape(1, 4, n) for n in (16, 23)]
    cases = [{"x": each, "unused": torch.zeros(3)} for each in signals]
    bake.graph("sound", sound, cases, ["y"], {"x": {2: "samples"}})
    bake.asset("words/notice.txt", b"a notice\n")
    bake.reference({"prompt": "tick", "clip": bake.File("clip.bin", b"\x00\x01")}, b"{}", "application/json", 1e-3)
