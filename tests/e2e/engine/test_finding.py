"""Which Engine is found, and whether the docker command can build: held against what the docker command itself says."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from prebake.docker.connection import Connection, find_engine
from prebake.errors import EngineUnavailable


@pytest.fixture
def environ(engine: Connection, tmp_path: Path) -> dict[str, str]:
    """Of a user who has the docker command, and nothing set."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(engine.cli)
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "config")}


def docker(environ: Mapping[str, str], *words: str) -> bool:
    return subprocess.run(["docker", *words], env=environ, capture_output=True, check=False).returncode == 0


def lend_buildx(engine: Connection, folder: Path) -> None:
    folder.mkdir(parents=True)
    config = engine.config or Path.home() / ".docker"
    places = [config, Path("/usr/libexec/docker"), Path("/usr/lib/docker"), Path("/usr/local/lib/docker")]
    plugin = next(place for place in (each / "cli-plugins" / "docker-buildx" for each in places) if place.exists())
    (folder / "docker-buildx").symlink_to(plugin.resolve())


@pytest.mark.parametrize("chosen", ["by docker context use", "by DOCKER_CONTEXT"])
def test_the_engine_of_the_docker_commands_context(
    engine: Connection, environ: dict[str, str], tmp_path: Path, chosen: str
) -> None:
    lend_buildx(engine, tmp_path / "config" / "cli-plugins")
    assert docker(environ, "context", "create", "mine", "--docker", f"host={engine.host}")
    if chosen == "by DOCKER_CONTEXT":
        environ["DOCKER_CONTEXT"] = "mine"
    else:
        assert docker(environ, "context", "use", "mine")
    found = find_engine(environ, private_home=tmp_path / "none")
    assert (found.host, found.cli) == (engine.host, tmp_path / "bin" / "docker")


@pytest.mark.parametrize("plugins", [None, "config/cli-plugins", "elsewhere"])
def test_buildx_is_found_where_the_docker_command_finds_it(
    engine: Connection, environ: dict[str, str], tmp_path: Path, plugins: str | None
) -> None:
    (tmp_path / "config").mkdir()
    if plugins:
        lend_buildx(engine, tmp_path / plugins)
    if plugins == "elsewhere":
        (tmp_path / "config" / "config.json").write_text(f'{{"cliPluginsExtraDirs": ["{tmp_path / plugins}"]}}')
    environ["DOCKER_HOST"] = engine.host
    if docker(environ, "buildx", "version"):
        assert find_engine(environ, private_home=tmp_path / "none").cli == tmp_path / "bin" / "docker"
    else:
        assert plugins is None
        with pytest.raises(EngineUnavailable, match="the docker command has no buildx"):
            find_engine(environ, private_home=tmp_path / "none")
