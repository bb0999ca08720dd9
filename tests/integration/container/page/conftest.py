from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser.chromium import running_chromium
from tests.support.browser.visit import Visit, visiting
from tests.support.container.baking import bake, write_manifest
from tests.support.container.running import Server, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOKEN = "a-secret-of-the-operator"


def bake_echo(models: Path) -> dict[str, Any]:
    manifest = bake(models)
    manifest["model"]["module"] = "tests.support.container.tiny.echo"
    write_manifest(models, manifest)
    return manifest


@pytest.fixture
def manifest(models: Path) -> dict[str, Any]:
    """Of the model with an answer of each kind."""
    return bake_echo(models)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shared")
    bake_echo(folder / "models")
    with running(folder / "models", folder, {"PREBAKE_ADMIN_TOKEN": TOKEN}) as server:
        yield server.wait_for("ready")


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    """Of a server that is ready."""
    with visiting(browser, server.port) as visit:
        yield visit.open().wait_for_state("ready").wait_for_form()
