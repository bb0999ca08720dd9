"""What the tests of sources share: a store, a web server, and a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prebake.checkpoints.store.store import Store
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from tests.support.checkpoint_servers.webserver import WebServer, serve
from tests.support.checkpoints.shelf import Shelf
from tests.support.registries.registry import running_registry
from tests.support.registry_servers.front import Front
from tests.support.registry_servers.server import served


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
