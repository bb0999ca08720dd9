from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.container.baking import bake
from tests.support.container.grpc_client import GRPC
from tests.support.container.running import Server, running


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("grpc")
    bake(folder / "models")
    with running(folder / "models", folder, GRPC) as server:
        yield server.wait_for("ready")
