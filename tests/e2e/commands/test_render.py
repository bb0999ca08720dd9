"""``--render DIR`` and plain ``docker buildx build`` give the image that build.py gives, file by file, with nothing of it
from a cache but the packages: so this holds too that the same inputs give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from tests.support.collection.sampled import sampled
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Built, Project, change_spec, change_weights, clone, reach
from tests.support.image_files import base_of, list_files
from tests.support.plain_builds import build_plainly


@pytest.fixture(scope="module")
def mixed(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The toy, its second component of eight-bit weights, in the folder of the first one's published file; both compiled for
    this processor."""
    project = clone(tmp_path_factory.mktemp("mixed") / "project", "toy", variables=reach(engine))
    code = project.root / "images/toy/export.py"
    code.write_text(code.read_text().replace('    bake.convert("second", second.state_dict())\n', ""))

    def change(document: dict[str, Any]) -> None:
        document["components"]["second"] = {"folder": "first", "precision": "int8"}
        document["warmup"] = {"tolerance": 0.1}

    change_spec(project, change)
    with image_name(engine) as tag:
        project.run("compile", "--model", "toy", "--keep-all").expect(0)
        ended = project.run("--model", "toy", "--tag", tag).expect(0)
        yield Built(project, "toy", tag, ended, project.report("toy"))


@pytest.mark.parametrize("model", sampled(["toy", "mixed", "foley"], "toy"))
def test_a_plain_build_of_the_rendered_folder_gives_the_same_image(
    request: pytest.FixtureRequest, engine: Connection, tmp_path: Path, tag: str, model: str
) -> None:
    built: Built = request.getfixturevalue(model)
    folder = tmp_path / "rendered"
    ended = built.project.run("--model", built.model, "--tag", built.tag, "--render", str(folder)).expect(0)
    assert ended.stdout.strip() == str(folder)
    assert (
        len(list((folder / "compiled").glob("*"))) == len(built.report["artifacts"]) == (2 if model == "mixed" else 0)
    )
    build_plainly(engine, folder, tag, base_of(engine, built))
    assert inspect_image(engine, tag).config == inspect_image(engine, built.tag).config
    ours, plain = list_files(engine, built.tag), list_files(engine, tag)
    assert ours.keys() ^ plain.keys() == set()
    assert {path: (ours[path], plain[path]) for path in ours if ours[path] != plain[path]} == {}


def test_a_folder_that_was_rendered_is_rendered_again_and_holds_no_more_than_before(toy: Built, tmp_path: Path) -> None:
    folder = tmp_path / "rendered"
    words = ("--model", "toy", "--render", str(folder))
    contents = []
    for _ in range(2):
        toy.project.run(*words).expect(0)
        contents.append({path.relative_to(folder): read(path) for path in folder.rglob("*")})
    assert contents[0] == contents[1]
    assert {path.stat().st_mtime for path in folder.rglob("*") if path.is_dir()} == {0}
    assert not [path for path in tmp_path.iterdir() if path != folder]
    dockerfile = (folder / "Dockerfile").read_text()
    assert str(toy.project.root) not in dockerfile
    assert os.uname().nodename not in dockerfile


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def test_layers_do_not_tell_what_lay_in_the_folder_before(
    engine: Connection, toy: Built, project: Project, tmp_path: Path, new_tag: Callable[[], str]
) -> None:
    """BuildKit is sent only what changed in a folder since its last build; it keeps the times of the rest, folders too."""
    used, new, base = tmp_path / "used", tmp_path / "new", base_of(engine, toy)
    project.run("--model", "toy", "--render", str(used)).expect(0)
    build_plainly(engine, used, new_tag(), base, fresh=())
    change_weights(project)
    images = []
    for folder, fresh in ((used, ()), (new, ("image",))):
        project.run("--model", "toy", "--render", str(folder)).expect(0)
        images.append(new_tag())
        build_plainly(engine, folder, images[-1], base, fresh=fresh)
    before, after = (inspect_image(engine, image).layers for image in images)
    assert [layer.diff_id for layer in before] == [layer.diff_id for layer in after]
    assert toy.digests("weights")["first/model.safetensors"] not in {layer.diff_id for layer in after}
