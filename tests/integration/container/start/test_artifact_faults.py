"""What was compiled ahead, cut short or gone, or on a file system that nobody may write to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.container.runtime.test_fallback import DATA, GRAPH, add_artifact, ask
from tests.support.container.baking import answer
from tests.support.container.running import Start
from tests.support.disks import read_only


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("verify", ["full", "sizes"])
@pytest.mark.parametrize("name", [GRAPH, DATA])
@pytest.mark.parametrize("spoil", [cut, empty, Path.unlink])
def test_one_that_is_not_whole_is_named_and_never_served_with(
    models: Path, manifest: dict[str, Any], start: Start, spoil: Callable[[Path], None], name: str, verify: str
) -> None:
    add_artifact(models, manifest)
    spoil(models / name)
    server = start(PREBAKE_VERIFY=verify).wait_for("failed")
    assert name in server.get("/health").json()["reason"]
    assert server.wait() in (72, 73)


@pytest.mark.parametrize("fallback", ["warn", "error"])
def test_a_read_only_file_system_changes_nothing(
    models: Path, manifest: dict[str, Any], start: Start, fallback: str
) -> None:
    add_artifact(models, manifest)
    with read_only(models):
        server = start(PREBAKE_FALLBACK=fallback).wait_for("ready")
        assert server.get("/startup").json()["opened"]["linear"] == "native"
        assert ask(server) == pytest.approx(answer(3))
        server.terminate()
        assert server.wait() == 0
