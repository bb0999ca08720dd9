"""A registry, a front before it, and repositories of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from prebake.io.retry import RetryPolicy
from prebake.oci.blobs.blobs import sha256_digest
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.upload_options import HostLimits
from tests.support.registries.pushes import HASTY
from tests.support.registry_servers.front import Front
from tests.support.registry_servers.killable import KillableRegistry, killable_registry
from tests.support.registry_servers.server import served


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
        retry_policy: RetryPolicy = HASTY,
        upload: str = "",
        environ: Mapping[str, str] | None = None,
        **more: object,
    ) -> Repository:
        variables = {"DOCKER_CONFIG": "/nowhere", **(environ or {}), "PREBAKE_UPLOAD": upload}
        arguments = {"retry_policy": retry_policy, "environ": variables, "limits": HostLimits(address), **more}
        repositories.append(Repository(parse_reference(f"{address}/{path}"), **arguments))  # type: ignore[arg-type]
        return repositories[-1]

    yield open_one
    for each in repositories:
        each.close()
