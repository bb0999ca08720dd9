"""The toy at a registry, and a clone that images are begun in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from tests.cli.copies import BUILDER, Pushed
from tests.generated import Baked, begin, importable
from tests.projects import Built, Project, clone
from tests.registry import running_registry


@pytest.fixture(scope="module")
def pushed(toy: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(folder) as address:
        name = f"{address}/models/toy"
        words = ("--model", "toy", "--tag", toy.tag, "--output", f"registry:{name}:v1")
        toy.project.run(*words, PREBAKE_BUILDER=BUILDER).expect(0)
        yield Pushed(toy, name, folder)


@pytest.fixture(scope="module")
def repository(pushed: Pushed) -> Iterator[Repository]:
    with closing(Repository(parse_reference(f"{pushed.name}:v1"))) as repository:
        yield repository


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A clone without images; what is begun in it can be imported."""
    project = clone(tmp_path_factory.mktemp("clone") / "project")
    with importable(project.root):
        yield project


@pytest.fixture
def begun(beginner: Project, tmp_path: Path) -> Callable[..., Baked]:
    """``begun(name, write, *words)``: the image of a checkpoint that ``write(folder)`` writes, baked."""
    return lambda name, write, *words: begin(beginner, name, write, tmp_path, *words)
