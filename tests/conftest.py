"""A real Engine, its base image, and images built once a session by the real command."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from prebake.engine.base import Base, bootstrapped
from prebake.engine.connection import Connection, ensure_engine
from tests.disks import disk_of
from tests.entrypoints.plugin import installed, plugin
from tests.projects import Built, Project, clone, reach

__all__ = ["installed", "plugin"]

# A shell that starts this in the background has it ignore SIGINT, and every process of a test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the tests that need the Engine from those that do not (``tests.whole``)."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker("engine")


@pytest.fixture(scope="session")
def engine() -> Connection:
    return ensure_engine()


@pytest.fixture(scope="session")
def base(engine: Connection) -> Base:
    return bootstrapped(engine)


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


@contextmanager
def image_name(engine: Connection) -> Iterator[str]:
    name = f"prebake-test:{uuid.uuid4().hex}"
    try:
        yield name
    finally:
        remove_images(engine, [name, f"{name}-naive"])


def remove_images(engine: Connection, names: list[str]) -> None:
    with closing(engine.client()) as client:
        found = client.api.images(name="prebake-test")  # in one request: others' images may go meanwhile
        there = {tag for image in found for tag in image["RepoTags"] or []}
        for name in there.intersection(names):
            client.images.remove(name, force=True)


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
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    with disk_of("4m", tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def project(engine: Connection, tmp_path: Path) -> Project:
    """A clone that holds the toy, to be changed."""
    return clone(tmp_path / "project", "toy", variables=reach(engine))


@contextmanager
def build_image(engine: Connection, folder: Path, model: str, *others: str) -> Iterator[Built]:
    """``others``: images of the project that it is made of."""
    project = clone(folder / "project", model, *others, variables=reach(engine))
    with image_name(engine) as tag:
        ended = project.run("--model", model, "--tag", tag).expect(0)
        yield Built(project, model, tag, ended, project.report(model))
