"""Two graphs over one published file, as a VAE's encoder and decoder are; each also reads a table of its own."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from prebake.bake.authoring import Bake


class Half(torch.nn.Module):
    """A linear layer of the shared file, then a table that no file holds."""

    def __init__(self, linear: torch.nn.Linear, first: float) -> None:
        super().__init__()
        self.linear = linear
        self.first = first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear(x)
        return (
            y
            * torch.linspace(self.first, 1, y.shape[-1] * 16).reshape(16, -1)[0]
            @ torch.linspace(self.first, 2, y.shape[-1] * 32).reshape(-1, 32)
        )


def export(bake: Bake) -> None:
    weights = load_file(bake.checkpoint / "words/model.safetensors")
    for name, layer, size, first in (("up", "inner", 32, 0.0), ("down", "outer", 48, 1.5)):
        linear = torch.nn.Linear(size, weights[f"{layer}.weight"].shape[0])
        linear.load_state_dict({key: weights[f"{layer}.{key}"] for key in ("weight", "bias")})
        cases = [{"x": torch.linspace(-1, 1, rows * size).reshape(rows, size)} for rows in (2, 5)]
        bake.graph(name, Half(linear, first).eval(), cases, ["y"], {"x": {0: "rows"}})
    bake.reference({"prompt": "tick"}, b"{}", "application/json", 1e-3)
