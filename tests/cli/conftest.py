"""The toy at a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from tests.cli.copies import BUILDER, Pushed
from tests.projects import Built
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
