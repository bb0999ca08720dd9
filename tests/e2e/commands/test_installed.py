"""The wheel in an empty folder: templates and entrypoints travel in it, and nothing of a clone is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import reach
from tests.support.models.graphs import write_graph
from tests.support.repository import ROOT

RUN = "import sys; from prebake.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content and no more."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "uv", "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("prebake-*.whl")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder / "installed", wheel)
    return folder / "installed"


def run(*words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What this Python prints."""
    command = [sys.executable, *map(str, words)]
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_stranger_gets_from_a_graph_to_an_image(engine: Connection, installed: Path, tmp_path: Path) -> None:
    write_graph(tmp_path / "weights/model.onnx")
    environment = {**os.environ, **reach(engine), "PYTHONPATH": str(installed)}

    def prebake(*words: str) -> str:
        return run("-c", RUN, *words, cwd=tmp_path, env=environment)

    where = run("-c", "import prebake; print(prebake.__file__)", cwd=tmp_path, env=environment)
    assert where.startswith(str(installed))
    prebake("init", "scores", "--from", "weights/model.onnx", "--license", "MIT")
    with image_name(engine) as tag:
        assert "ready after" in prebake("build", "--model", "scores", "--tag", tag)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "images", "weights"]
