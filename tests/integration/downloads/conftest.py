"""A server with a file, and an empty store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.checkpoints.store.store import Store
from tests.support.checkpoint_servers.webserver import WebServer, serve
from tests.support.downloads import DATA


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serve() as server:
        server.files["/a.safetensors"] = DATA
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
