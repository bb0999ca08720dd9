"""What the tests of sources share: a store, a web server, and a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prebake.checkpoints.store import Store
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from tests.faults.servers.front import Front
from tests.faults.servers.server import served
from tests.registry import running_registry
from tests.unit.checkpoints.shelf import Shelf
from tests.unit.checkpoints.webserver import WebServer, serve


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def shelf(registry: str) -> Iterator[Shelf]:
    front = Front(registry)
    with served(front), closing(Repository(parse_reference(f"{registry}/models/m"))) as repository:
        yield Shelf(front, repository)
