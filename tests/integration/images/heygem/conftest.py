"""heygem's sample, baked once without an Engine, and the same checkpoint in the framework's own pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoints.components.opener import Opener
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from images.heygem import model, naive, sample
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder, shipped

GENERATOR = "diffusion_pytorch_model.safetensors"
SHIPPED = ("wav2vec2/model.safetensors", f"unet/{GENERATOR}", f"vae/{GENERATOR}")
COMPONENTS = {
    "wav2vec2": ComponentSettings(),
    "unet": ComponentSettings(),
    "vae_encoder": ComponentSettings(folder="vae"),
    "vae_decoder": ComponentSettings(folder="vae"),
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    sample.write(folder, 1)
    return folder


@pytest.fixture(scope="session")
def baked(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = StageSettings(
        image="heygem",
        module="images.heygem.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components=COMPONENTS,
        ship=shipped(checkpoint, SHIPPED),
    )
    folder = tmp_path_factory.mktemp("baked") / "models"
    bake_folder("heygem", checkpoint, settings, folder)
    return folder


@pytest.fixture(scope="session")
def opener(baked: Path) -> Opener:
    """The server's own way to open a baked folder."""
    opened = Opener(baked, read_manifest(baked), Timeline(), None)
    opened.start(2)
    return opened


@pytest.fixture(scope="session")
def served(opener: Opener) -> model.HeyGem:
    return model.create(opener.components)


@pytest.fixture(scope="session")
def framework(checkpoint: Path) -> naive.NaiveHeyGem:
    return naive.load(checkpoint)
