"""Web pages and names under which the server is reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.container.baking import bake
from tests.support.container.raw import LIVE, ask, post
from tests.support.container.running import Server, running

PLAIN = b'{"values": "1,2,3,4"}'


@pytest.fixture(scope="module")
def allowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("allowing")
    bake(folder / "models")
    variables = {"PREBAKE_ALLOWED_HOSTS": "x, *.model.example", "PREBAKE_ALLOWED_ORIGINS": "https://app.example"}
    with running(folder / "models", folder, variables) as server:
        yield server.wait_for("ready")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Origin: http://x"], 200),
        (["Origin: http://elsewhere"], 403),
        (["Origin: null"], 403),
        (["Origin: https://app.example"], 200),
    ],
)
def test_pages_of_other_origins_may_not_post(allowing: Server, headers: list[str], status: int) -> None:
    response = ask(allowing, post(PLAIN, *headers))
    assert response.status == status
    if status == 403:
        assert "PREBAKE_ALLOWED_ORIGINS" in response.message


def test_other_hosts_are_not_served_but_probes_are(allowing: Server) -> None:
    response = ask(allowing, post(PLAIN).replace(b"Host: x", b"Host: rebound.example"))
    assert response.status == 421
    assert "PREBAKE_ALLOWED_HOSTS" in response.message
    assert ask(allowing, post(PLAIN).replace(b"Host: x", b"Host: a.model.example:8000")).status == 200
    assert ask(allowing, LIVE.replace(b"Host: x", b"Host: 10.0.0.1:8000")).status == 200
