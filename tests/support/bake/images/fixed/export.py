"""Two layers over published weights, of fixed shapes and with free ones: what engines are made of."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from prebake.bake.authoring import Bake


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(32, 48)
        self.outer = torch.nn.Linear(48, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.outer(torch.nn.functional.relu(self.inner(x)))
        return answer


def export(bake: Bake) -> None:
    net = Net().eval()
    net.load_state_dict(load_file(bake.checkpoint / "net/model.safetensors"))
    rows = [torch.linspace(-1, 1, 64).reshape(2, 32), torch.linspace(1, 0, 64).reshape(2, 32)]
    bake.graph("net", net, [{"x": each} for each in rows], ["y"], tolerance=0.02)
    if "free" in bake.settings.components:
        more = [{"x": rows[0]}, {"x": torch.cat(rows)}]
        batch = torch.export.Dim("batch", min=1, max=16)
        bake.graph("free", net, more, ["y"], {"x": {0: batch}})
    bake.reference({"x": "1"}, b"{}", "application/json", 1e-3)
