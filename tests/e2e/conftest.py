"""A real Engine, its base image, and images built once a session by the real command."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prebake.docker.connection import Connection, ensure_engine
from prebake.docker.images.base_image import Base, ensure_debian_base
from tests.support.commands.built_images import build_image, image_name, remove_images
from tests.support.commands.projects import Built, Project, clone, reach
from tests.support.serving import Service, serving


@pytest.fixture(scope="session")
def engine() -> Connection:
    return ensure_engine()


@pytest.fixture(scope="session")
def base(engine: Connection) -> Base:
    return ensure_debian_base(engine)


@pytest.fixture
def tag(engine: Connection) -> Iterator[str]:
    """A name for an image, which is removed after the test."""
    with image_name(engine) as name:
        yield name


@pytest.fixture
def new_tag(engine: Connection) -> Iterator[Callable[[], str]]:
    """As many such names as a test asks for."""
    names = [f"prebake-test:{uuid.uuid4().hex}" for _ in range(8)]
    try:
        yield iter(names).__next__
    finally:
        remove_images(engine, [*names, *(f"{name}-weights" for name in names)])


@pytest.fixture(scope="session")
def toy(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with build_image(engine, tmp_path_factory.mktemp("toy"), "toy") as built:
        yield built


@pytest.fixture(scope="session")
def minilm(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The published weights, baked."""
    with build_image(engine, tmp_path_factory.mktemp("minilm"), "minilm") as built:
        yield built


@pytest.fixture(scope="session")
def foley(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The sample checkpoint, baked."""
    with build_image(engine, tmp_path_factory.mktemp("foley"), "foley") as built:
        yield built


@pytest.fixture(scope="session")
def heygem(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The sample checkpoint, baked."""
    with build_image(engine, tmp_path_factory.mktemp("heygem"), "heygem") as built:
        yield built


@pytest.fixture(scope="session")
def zimage(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The sample checkpoint, baked."""
    with build_image(engine, tmp_path_factory.mktemp("zimage"), "zimage") as built:
        yield built


@pytest.fixture
def project(engine: Connection, tmp_path: Path) -> Project:
    """A clone that holds the toy, to be changed."""
    return clone(tmp_path / "project", "toy", variables=reach(engine))


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
