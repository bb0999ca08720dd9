"""A real Engine, its base image, and a real registry."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prebake.engine.base import Base, bootstrapped
from prebake.engine.connection import Connection, ensure_engine
from tests.registry import running_registry


@pytest.fixture(scope="session")
def engine() -> Connection:
    return ensure_engine()


@pytest.fixture(scope="session")
def base(engine: Connection) -> Base:
    return bootstrapped(engine)


@pytest.fixture
def tag(engine: Connection) -> Iterator[str]:
    """A name for an image, which is removed after the test."""
    name = f"prebake-test:{uuid.uuid4().hex}"
    yield name
    with closing(engine.client()) as client:
        for image in client.images.list(name=name.partition(":")[0]):
            if name in image.tags:
                client.images.remove(name, force=True)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path) as address:
        yield address
