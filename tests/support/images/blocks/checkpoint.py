"""Its checkpoint, the settings that a plan would give, and the folder that both stages make of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from prebake.documents.component import ComponentSettings, Precision
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.images.blocks.export import VALUES
from tests.support.images.blocks.model_torch import Blocks

CONFIG = {"width": len(VALUES), "layers": 2}


def write_checkpoint(folder: Path) -> Path:
    """As published: names with a prefix, the tied tensor once, and one that only training needed."""
    torch.manual_seed(1)
    network = Blocks(CONFIG["width"], CONFIG["layers"])
    tensors = {f"net.{name}": tensor for name, tensor in network.state_dict().items() if name != "last.weight"}
    (folder / "net").mkdir(parents=True)
    save_file({**tensors, "training.step": torch.zeros(1)}, folder / "net/model.safetensors")
    (folder / "net/config.json").write_text(json.dumps(CONFIG))
    return folder


def settings_for(checkpoint: Path, precision: str = "fp32", compiled: str = "none") -> StageSettings:
    return StageSettings(
        image="blocks",
        module="tests.support.images.blocks.model",
        exporter="tests.support.images.blocks.export",
        networks="tests.support.images.blocks.model_torch",
        runtime="torch",
        compiled=compiled,
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={"net": ComponentSettings(precision=Precision(precision, derived=False), providers=())},
        ship=shipped(checkpoint, ["net/config.json", "net/model.safetensors"]),
    )


def bake(folder: Path, settings: StageSettings | None = None) -> Path:
    """``folder/checkpoint`` is made where it is not there; what is baked lies in ``folder/models``."""
    checkpoint = folder / "checkpoint"
    if not checkpoint.exists():
        write_checkpoint(checkpoint)
    bake_folder("blocks", checkpoint, settings or settings_for(checkpoint), folder / "models")
    return folder / "models"
