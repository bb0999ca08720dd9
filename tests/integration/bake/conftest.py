"""A small checkpoint, its settings, and the folder that both stages make of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prebake.bake.stages.export import export_image
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.fixed import published
from tests.support.bake.host_bake import compile_folder, shipped
from tests.support.repository import TINY_IMAGES

__all__ = ["published"]


def write_checkpoint(folder: Path) -> Path:
    """``words/model.safetensors`` as published, ``sound.pth`` as a pickle."""
    random = torch.Generator().manual_seed(1)

    def values(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, generator=random).to(dtype) * 0.2

    words = {
        "table.weight": values(96, 32),
        "inner.weight": values(48, 32),
        "inner.bias": values(48),
        "outer.weight": values(32, 48),
        "outer.bias": values(32),
        "fp16": values(32, 32, dtype=torch.float16),
        "bf16": values(96, 32, dtype=torch.bfloat16),
        "nothing": values(0, 32),
    }
    (folder / "words").mkdir(parents=True)
    save_file(words, folder / "words/model.safetensors")
    sound = {"conv.weight": values(32, 4, 3), "conv.bias": values(32)}
    torch.save({"state_dict": sound, "metadata": {"rate": 48_000}}, folder / "sound.pth")
    return folder


def tiny_settings(checkpoint: Path) -> StageSettings:
    return StageSettings(
        image="tiny",
        module="images.tiny.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={"words": ComponentSettings(), "sound": ComponentSettings()},
        ship=shipped(checkpoint, ["words/model.safetensors"]),
    )


@pytest.fixture(scope="session", autouse=True)
def tiny_image() -> Iterator[None]:
    """``images.tiny`` of this folder, importable: ``images`` is a namespace package."""
    sys.path.insert(0, str(TINY_IMAGES))
    yield
    sys.path.remove(str(TINY_IMAGES))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def settings(checkpoint: Path) -> StageSettings:
    return tiny_settings(checkpoint)


@pytest.fixture(scope="session")
def models(checkpoint: Path, settings: StageSettings, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baked folder; not to be written to."""
    folder = tmp_path_factory.mktemp("baked") / "models"
    compile_folder(settings, checkpoint, exported, folder)
    return folder


@pytest.fixture(scope="session")
def exported(
    checkpoint: Path, settings: StageSettings, tmp_path_factory: pytest.TempPathFactory, tiny_image: None
) -> Path:
    """What the export stage hands on; not to be written to."""
    folder = tmp_path_factory.mktemp("stage") / "exported"
    export_image(settings, checkpoint, folder)
    return folder
