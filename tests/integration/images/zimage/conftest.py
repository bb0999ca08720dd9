"""The sample checkpoint, baked into a folder without an Engine and served in this process, beside diffusers' pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.zimage import model, naive, sample
from tests.support.bake.host_bake import bake_folder
from tests.support.models.zimage_serving import Baked, open_baked, settings_for, torch_settings


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zimage") / "checkpoint"
    sample.write(folder, 1)
    return folder


@pytest.fixture(scope="session")
def baked(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zimage-baked") / "models"
    bake_folder("zimage", checkpoint, settings_for(checkpoint), folder)
    return folder


@pytest.fixture(scope="session")
def served(baked: Path) -> model.ZImage:
    return model.create(Baked(baked))


@pytest.fixture(scope="session")
def baked_for_torch(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zimage-torch") / "models"
    bake_folder("zimage", checkpoint, torch_settings(checkpoint, "fp32"), folder)
    return folder


@pytest.fixture(scope="session")
def served_by_torch(baked_for_torch: Path) -> model.ZImage:
    return model.create(open_baked(baked_for_torch).components)


@pytest.fixture(scope="session")
def published(checkpoint: Path) -> naive.NaiveZImage:
    return naive.load(checkpoint)
