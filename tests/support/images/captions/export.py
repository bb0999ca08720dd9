"""Z-Image's text encoder baked alone."""

from __future__ import annotations

import json

import torch
from images.captions.nets import TextEncoder  # type: ignore[import-untyped, import-not-found, unused-ignore]
from transformers import Qwen3Model

from prebake.bake.authoring import Bake

TOKENS = [3, 1, 4, 1, 5]


def export(bake: Bake) -> None:
    folder = bake.checkpoint / "text_encoder"
    network = TextEncoder(Qwen3Model.from_pretrained(folder, dtype=torch.float32, local_files_only=True)).eval()
    bake.convert("text_encoder", network.used_tensors())
    cases = [{"tokens": torch.arange(count)[None]} for count in (8, 5)]
    bake.graph("text_encoder", network, cases, ["caption"], {"tokens": {1: "tokens"}}, tolerance=1e-2)
    with torch.no_grad():
        answer = network(torch.tensor([TOKENS]))[0].mean(dim=1).tolist()
    body = json.dumps({"means": answer}).encode()
    bake.reference({"tokens": " ".join(map(str, TOKENS))}, body, "application/json", tolerance=1e-2)
