"""Fixtures for ``prebake init``: a clone in which images begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands.projects import Project, clone
from tests.support.models.generated import Baked, begin, importable


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
