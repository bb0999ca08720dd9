"""The images of this project, built and served once a session, and their checkpoints as the store has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.checkpoints.fetch import lay_out
from prebake.checkpoints.store import Store, default_root
from prebake.engine.connection import Connection
from tests.projects import Built, read_lock
from tests.serving import Service, serving


@pytest.fixture(scope="session")
def minilm_service(engine: Connection, minilm: Built) -> Iterator[Service]:
    with serving(engine, minilm.tag) as service:
        yield service


@pytest.fixture(scope="session")
def foley_service(engine: Connection, foley: Built) -> Iterator[Service]:
    with serving(engine, foley.tag) as service:
        yield service


@pytest.fixture(scope="session")
def heygem_service(engine: Connection, heygem: Built) -> Iterator[Service]:
    with serving(engine, heygem.tag) as service:
        yield service


@pytest.fixture(scope="session")
def zimage_service(engine: Connection, zimage: Built) -> Iterator[Service]:
    with serving(engine, zimage.tag) as service:
        yield service


def lay_out_checkpoint(built: Built, folder: Path) -> Path:
    """What was baked, as the framework loads it."""
    checkpoint = read_lock(built.project, built.model).checkpoints[built.report["checkpoint"]]
    lay_out(checkpoint.files, Store(default_root()), folder)
    return folder
