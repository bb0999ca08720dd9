"""A component of fixed shapes beside one of free ones, over one published file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import shipped


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    (folder / "net").mkdir()
    random = torch.Generator().manual_seed(3)
    shapes = {"inner.weight": (48, 32), "inner.bias": (48,), "outer.weight": (32, 48), "outer.bias": (32,)}
    weights = {name: torch.randn(*shape, generator=random) * 0.2 for name, shape in shapes.items()}
    save_file(weights, folder / "net/model.safetensors")
    return folder


def settings_of(published: Path, **free: Any) -> StageSettings:
    components = {"net": ComponentSettings(), **({"free": ComponentSettings(folder="net", **free)} if free else {})}
    ship = shipped(published, ["net/model.safetensors"])
    return StageSettings(
        image="fixed",
        module="images.fixed.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components=components,
        ship=ship,
    )
