"""The reference: the network in torch, loaded by torch's own means."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from prebake.bake.authoring import Bake
from tests.support.images.blocks.model_torch import Blocks

VALUES = [0.25 * number for number in range(16)]


def export_torch(bake: Bake) -> None:
    network = Blocks(len(VALUES), layers=2).eval()
    stored = load_file(bake.checkpoint / "net/model.safetensors")
    named = {name.removeprefix("net."): tensor for name, tensor in stored.items() if not name.startswith("training.")}
    network.load_state_dict({**named, "last.weight": named["first.weight"]})
    with torch.inference_mode():
        y, _ = network(torch.tensor([VALUES] * 3))
    body = json.dumps({"y": y.tolist()}).encode()
    bake.reference({"values": ",".join(map(str, VALUES))}, body, "application/json", tolerance=1e-5)
