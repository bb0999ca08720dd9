"""A registry, a front before it, and repositories of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from prebake.oci.blobs import sha256_digest
from prebake.oci.habits import Habits
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.patience import Patience
from tests.faults.registry.parts import HASTY
from tests.faults.servers.front import Front
from tests.faults.servers.killable import KillableRegistry, killable_registry
from tests.faults.servers.server import served


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableRegistry]:
    """One that no test kills."""
    with killable_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def front(standing: KillableRegistry) -> Iterator[Front]:
    front = Front(standing.address)
    with served(front):
        yield front


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return f"tests/{sha256_digest(request.node.name.encode())[-12:]}"


@pytest.fixture
def opened() -> Iterator[Callable[..., Repository]]:
    """Repositories, closed at the end. Each knows nothing yet of how its host wants uploads: ports are used again."""
    repositories: list[Repository] = []

    def open_one(
        address: str,
        path: str,
        patience: Patience = HASTY,
        upload: str = "",
        environ: Mapping[str, str] | None = None,
        **more: object,
    ) -> Repository:
        variables = {"DOCKER_CONFIG": "/nowhere", **(environ or {}), "PREBAKE_UPLOAD": upload}
        arguments = {"patience": patience, "environ": variables, "habits": Habits(address), **more}
        repositories.append(Repository(parse_reference(f"{address}/{path}"), **arguments))  # type: ignore[arg-type]
        return repositories[-1]

    yield open_one
    for each in repositories:
        each.close()
