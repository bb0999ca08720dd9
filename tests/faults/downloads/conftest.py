"""A server with a file, and an empty store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.checkpoints.store import Store
from tests.faults.downloads.parts import DATA
from tests.unit.checkpoints.webserver import WebServer, serve


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serve() as server:
        server.files["/a.safetensors"] = DATA
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
