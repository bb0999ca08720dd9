"""Small networks as torch saves them: programs of torch.export, TorchScript, and pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.modeling_outputs import SequenceClassifierOutput


class Scores(torch.nn.Module):
    """Ids [rows, tokens] and a number for each row [rows, 1] to scores [rows, 3] and features [rows, tokens, 16]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.table, self.inner = torch.nn.Embedding(50, 16), torch.nn.Linear(16, 16)
        self.norm, self.head = torch.nn.LayerNorm(16), torch.nn.Linear(16, 3)

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.norm(self.inner(self.table(ids)))[:, None]
        hidden = torch.nn.functional.scaled_dot_product_attention(hidden, hidden, hidden)[:, 0]
        return self.head(torch.relu(hidden)).mean(1) * scale, hidden


class Named(Scores):
    """The same, by name."""

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        scores, features = super().forward(ids, scale)
        return {"scores": scores, "features": features}


class Structured(Scores):
    """The same, as transformers' models have it."""

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> Any:
        scores, features = super().forward(ids, scale)
        return SequenceClassifierOutput(logits=scores, hidden_states=features)


class Branching(torch.nn.Module):
    """What it does depends on what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            return x + 1
        return x * 3


class Looping(torch.nn.Module):
    """How often depends on it, too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool(x.sum() < 10):
            x = x + 1
        return x


EXAMPLE = (torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]), torch.tensor([[0.5], [-2.0]]))


def write_program(path: Path, module: torch.nn.Module | None = None) -> None:
    """A ``.pt2`` of up to 64 rows of up to 32 tokens."""
    rows, tokens = torch.export.Dim("rows", max=64), torch.export.Dim("tokens", max=32)
    shapes = {"ids": {0: rows, 1: tokens}, "scale": {0: rows}}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(torch.export.export((module or Named()).eval(), EXAMPLE, dynamic_shapes=shapes), path)


def write_script(path: Path, *, traced: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    network = Scores().eval()
    script: Any = torch.jit.trace(network, EXAMPLE) if traced else torch.jit.script(network)  # type: ignore[no-untyped-call]
    script.save(str(path))
