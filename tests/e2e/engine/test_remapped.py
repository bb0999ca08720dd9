"""Engines that remap users, and rootless ones: what a container writes into a folder of this machine is still this user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.bootstrap.engine_folder import engine_folder
from prebake.checkpoints.store.store import Store
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import Bind, ContainerSpec
from prebake.docker.containers.containers import run_to_end
from prebake.docker.images.base_image import Base, ensure_debian_base
from prebake.io.log import silent
from prebake.workflow.stages.buildkit import Builder
from prebake.workflow.stages.executor import ContainerRunner, StageRun
from tests.support.engines.remapped import FIRST, remapped_engine
from tests.support.engines.rootless import USER, rootless_engine

# What stands for `python -m prebake.bake`: it reads a file of the store, and writes as deep as a stage does.
STAGE = """
import os, sys
from pathlib import Path
read = Path('/checkpoint/model.bin').read_text()
out = Path(sys.argv[sys.argv.index('--out') + 1], 'models', 'deep')
out.mkdir(parents=True)
(out / 'graph.onnx').write_text(f'{read} by {os.getuid()}')
"""


@pytest.fixture(scope="module")
def programs(engine: Connection) -> Path:
    """dockerd and what it starts: a private Engine's."""
    found = next((each for each in (engine.cli.parent, engine_folder().programs) if (each / "dockerd").exists()), None)
    if found is None or os.geteuid() != 0:
        pytest.skip("needs root, and the programs of a private Engine (`prebake engine up`)")
    return found


@pytest.fixture(scope="module")
def remapped(programs: Path) -> Iterator[Connection]:
    with remapped_engine(programs) as connection:
        yield connection


@pytest.fixture(scope="module")
def its_base(remapped: Connection) -> Base:
    return ensure_debian_base(remapped, log=silent)


def test_users_are_remapped_there(remapped: Connection, its_base: Base, tmp_path: Path) -> None:
    """Otherwise the next test shows nothing."""
    tmp_path.chmod(0o777)
    spec = ContainerSpec(
        its_base.reference, ["touch", "/here/file"], binds=[Bind(tmp_path, "/here", read_only=False)], user="0:0"
    )
    for path in (tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    assert run_to_end(remapped, spec, seconds=60)[0].exit_code == 0
    assert (tmp_path / "file").stat().st_uid == FIRST


def run_stage(connection: Connection, base: Base, closed: Path, owner: int) -> Path:
    """Run what stands for a stage on files in a folder that is its owner's alone, as /root is; what it made."""
    (closed / "context/bake/prebake/bake").mkdir(parents=True)
    for path in ("prebake/__init__.py", "prebake/bake/__init__.py", "settings.json"):
        (closed / "context/bake" / path).write_text("")
    (closed / "context/bake/prebake/bake/__main__.py").write_text(STAGE)
    (closed / "model.bin").write_text("weights")
    folder = closed / "stage"
    folder.mkdir(mode=0o700)
    stage = StageRun(
        folder=folder,
        context=closed / "context",
        arguments=["export"],
        binds=[Bind(closed / "model.bin", "/checkpoint/model.bin")],
        environment={},
    )
    runner = ContainerRunner(connection, base.reference, silent)
    runner.container(stage)  # makes the folders that are mounted
    for each in (closed, *closed.rglob("*")):
        os.chown(each, owner, owner)
    closed.chmod(0o700)
    done = runner.run(stage)
    assert done.exit_code == 0, done.output
    return folder / "out/models/deep/graph.onnx"


def test_a_stage_reads_the_store_and_writes_files_that_this_user_can_take(
    remapped: Connection, its_base: Base, tmp_path: Path
) -> None:
    (tmp_path / "closed").mkdir()
    made = run_stage(remapped, its_base, tmp_path / "closed", os.getuid())
    assert made.read_text() == f"weights by {os.getuid()}"
    assert made.stat().st_uid == os.getuid()


def test_a_rootless_engine_s_stage_writes_as_the_one_whose_engine_it_is(programs: Path) -> None:
    with rootless_engine(programs) as (rootless, folder):
        made = run_stage(rootless, ensure_debian_base(rootless, log=silent), folder, USER)
        assert made.read_text() == "weights by 0"
        assert made.stat().st_uid == USER


def test_buildkit_s_stages_come_out_as_layers(remapped: Connection, its_base: Base, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    lines = ["ARG BASE", "FROM ${BASE} AS base", "RUN mkdir /tree && echo x > /tree/x", "FROM scratch AS layer"]
    (tmp_path / "context/Dockerfile").write_text("\n".join([*lines, "COPY --from=base /tree/ /"]) + "\n")
    builder = Builder(remapped, tmp_path / "context", its_base.reference, Store(tmp_path / "store").folder, silent)
    with builder.tree("layer") as entries:
        assert [entry.path for entry in entries] == ["x"]
