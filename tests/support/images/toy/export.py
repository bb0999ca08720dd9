"""The toy baked: one graph over a published file, one over a converted pickle."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from prebake.bake.authoring import Bake

VALUES = [0.5, -1.0, 2.0, 0.0, 1.5, -0.25, 3.0, 1.0]


def export(bake: Bake) -> None:
    first, second = torch.nn.Linear(8, 64).eval(), torch.nn.Linear(64, 8).eval()
    first.load_state_dict(load_file(bake.checkpoint / "first/model.safetensors"))
    second.load_state_dict(bake.open_pickle("second.pth"))
    bake.convert("second", second.state_dict())
    for name, module in (("first", first), ("second", second)):
        cases = [{"input": torch.linspace(-1, 1, rows * module.in_features).reshape(rows, -1)} for rows in (2, 3)]
        bake.graph(name, module, cases, ["output"], {"input": {0: "rows"}})
    with torch.no_grad():
        answer = second(first(torch.tensor([VALUES])))[0].tolist()
    body = json.dumps({"values": answer}).encode()
    bake.reference({"values": " ".join(map(str, VALUES))}, body, "application/json", 1e-5)
