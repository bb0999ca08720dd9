from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.container.baking import bake
from tests.support.container.running import Server, Start, running


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def manifest(models: Path) -> dict[str, Any]:
    """The manifest of a freshly baked ``models``."""
    return bake(models)


@pytest.fixture
def start(models: Path, manifest: dict[str, Any], tmp_path: Path) -> Iterator[Start]:
    """Start a server over ``models``, with variables by name; it is killed after the test."""
    with contextlib.ExitStack() as stack:

        def start(launcher: Sequence[str] = (), **environ: str) -> Server:
            notes = tmp_path / f"notes-{len(list(tmp_path.iterdir()))}"
            notes.mkdir()
            return stack.enter_context(running(models, notes, environ, launcher))

        yield start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One ready server for the tests of a module that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    bake(folder / "models")
    with running(folder / "models", folder, {}) as server:
        yield server.wait_for("ready")
