"""The toy at a registry, and a clone in which images begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from tests.support.commands.init_projects import beginner, begun
from tests.support.commands.projects import Built
from tests.support.registries.pushed_copies import BUILDER, Pushed
from tests.support.registries.registry import running_registry

__all__ = ["beginner", "begun"]


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
