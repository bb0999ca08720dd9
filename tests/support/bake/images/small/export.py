"""Two small networks, of whatever precision is asked for: words to scores by tied tables, and sounds by convolutions."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from prebake.bake.authoring import Bake


class Words(torch.nn.Module):
    """The table is looked up in, and multiplied by."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(128, 64)
        self.inner = torch.nn.Linear(64, 96)
        self.outer = torch.nn.Linear(96, 64)

    def forward(self, tokens: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """tokens [batch, length], weight [batch, 1, 1]: scores [batch, length, 128] and the word of the highest."""
        hidden = self.table(tokens) * weight
        hidden = hidden + self.outer(torch.nn.functional.gelu(self.inner(hidden)))
        scores = torch.nn.functional.linear(hidden, self.table.weight)
        return scores, scores.argmax(-1)


class Sounds(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv1d(4, 32, 9, padding=4)
        self.second = torch.nn.Conv1d(32, 16, 9, padding=4)
        self.last = torch.nn.Linear(16, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.second(torch.relu(self.first(x))).mean(-1)
        scores: torch.Tensor = self.last(hidden)  # of two dimensions, which is a Gemm
        return scores


def make(name: str) -> torch.nn.Module:
    torch.manual_seed(5)
    return {"words": Words, "sounds": Sounds}[name]().eval()


def cases(name: str, count: int) -> list[dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(count)
    if name == "sounds":
        return [{"x": torch.randn(2, 4, 24 + 4 * n, generator=random)} for n in range(count)]
    return [
        {
            "tokens": torch.randint(0, 128, (2, 5 + n), generator=random),
            "weight": torch.rand(2, 1, 1, generator=random) + 0.5,
        }
        for n in range(count)
    ]


def export(bake: Bake) -> None:
    for name in bake.settings.components:
        module = make(name)
        module.load_state_dict(load_file(bake.checkpoint / name / "model.safetensors"))
        samples = cases(name, 8) if (bake.checkpoint / "calibrate").exists() else ()
        if name == "words":
            axes = {"tokens": {0: "batch", 1: "length"}, "weight": {0: "batch"}}
            bake.graph(name, module, cases(name, 2), ["scores", "best"], axes, calibration=samples)
        else:
            bake.graph(name, module, cases(name, 2), ["y"], {"x": {0: "batch", 2: "samples"}}, calibration=samples)
    bake.reference({"prompt": "tick"}, b"{}", "application/json", 1e-3)
