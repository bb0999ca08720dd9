from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.container.baking import bake
from tests.support.container.grpc_client import GRPC, find_grpc_port, grpc_channel, grpc_client
from tests.support.container.running import Server, running


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("grpc")
    bake(folder / "models")
    with running(folder / "models", folder, GRPC) as server:
        yield server.wait_for("ready")


@pytest.fixture
def client(speaking: Server) -> Iterator[Any]:
    with grpc_client(find_grpc_port(speaking)) as client:
        yield client


@pytest.fixture
def channel(speaking: Server) -> Iterator[Any]:
    with grpc_channel(find_grpc_port(speaking)) as channel:
        yield channel


@pytest.fixture(scope="module")
def triton() -> Any:
    from tritonclient.grpc import service_pb2

    return service_pb2
