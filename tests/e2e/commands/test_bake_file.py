"""``prebake bake-file``: what it writes is what `docker buildx bake` builds, and the images are the ones of build.py."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.workflow.stages.buildkit import pip_inputs
from tests.support.commands.projects import Built, Project
from tests.support.image_files import base_of, list_files


def bake(engine: Connection, file: Path, *words: str) -> str:
    command = [str(engine.cli), "buildx", "bake", f"--file={file}", *words]
    ended = subprocess.run(command, cwd=file.parent, env=engine.env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_bake_builds_the_same_files_as_build_py(engine: Connection, toy: Built, tag: str, tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    ended = toy.project.run("bake-file", str(folder), "--model", "toy", "--target", "cpu").expect(0)
    file = folder / "docker-bake.json"
    assert ended.stdout.strip() == str(file)
    with pip_inputs() as inputs:
        words = [f"--set=*.args.BASE={base_of(engine, toy)}", f"--set=*.tags={tag}", "--builder=default"]
        words += [f"--set=*.secrets=id={name},src={path}" for name, path in inputs.secrets.items()]
        words += [f"--set=*.contexts.{name}={path}" for name, path in inputs.contexts.items()]
        words += [f"--set=*.output=type=docker,compression=uncompressed,name={tag}", "--allow=fs.read=*"]
        bake(engine, file, *words)
    assert inspect_image(engine, tag).config == inspect_image(engine, toy.tag).config
    assert list_files(engine, tag) == list_files(engine, toy.tag)


def test_a_file_for_every_image_and_target(engine: Connection, project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    project.run("bake-file", str(folder)).expect(0)
    printed = json.loads(bake(engine, folder / "docker-bake.json", "--print"))
    listed = json.loads(project.run("--list", "--json").expect(0).stdout)
    expected = {f"{each['model']}-{each['target']}" for each in listed}
    assert set(printed["group"]["default"]["targets"]) == set(printed["target"]) == expected
    assert {path.name for path in folder.iterdir()} == {*expected, "docker-bake.json"}


def test_the_compression_is_written_for_buildkit(engine: Connection, toy: Built, tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    toy.project.run("bake-file", str(folder), "--model", "toy", "--target", "cpu", "--compression", "gzip").expect(0)
    printed = json.loads(bake(engine, folder / "docker-bake.json", "--print"))
    (output,) = printed["target"]["toy-cpu"]["output"]
    assert output["type"] == "image"
    assert (output["compression"], output["force-compression"]) == ("gzip", "true")


def test_no_such_target_writes_nothing(toy: Built, tmp_path: Path) -> None:
    ended = toy.project.run("bake-file", str(tmp_path / "fleet"), "--model", "toy", "--target", "tensorrt").expect(12)
    assert "--list" in ended.stderr
    assert not (tmp_path / "fleet").exists()
