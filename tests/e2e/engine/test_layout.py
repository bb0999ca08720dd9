"""Layouts and archives as other programs take them: skopeo, umoci, and an Engine."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.docker.images.pull import load_archive
from prebake.errors import EngineError
from prebake.oci.blobs.blobs import Image
from prebake.oci.blobs.content import FileChanged
from prebake.oci.layout.archive import layout_tar, write_layout_tar
from prebake.oci.layout.layout import write_layout
from tests.support.registries.oci_images import file_layer, image_of, read_file, tar_layer
from tests.support.tools import Tools, oci_tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    return oci_tools()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Unlike any other test's: what an Engine has already, it would not take again."""
    weights = tmp_path / "weights"
    weights.write_bytes(uuid.uuid4().bytes * 5000)
    return image_of(file_layer(weights, "models/weights"), tar_layer({"app/code": uuid.uuid4().bytes}))


def copied(folder: Path) -> str:
    """The digest of the config that skopeo copied, with its layers, and checked."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert {path.name for path in folder.iterdir()} > {each["digest"][7:] for each in manifest["layers"]}
    return str(manifest["config"]["digest"])


def test_skopeo_and_umoci_take_the_folder(tools: Tools, image: Image, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_layout(image, folder, reference="prebake/toy:one")
    assert json.loads(tools.skopeo("inspect", f"oci:{folder}:one"))["Digest"] == image.digest
    tools.skopeo("copy", f"oci:{folder}:one", f"dir:{tmp_path / 'copy'}")
    assert copied(tmp_path / "copy") == image.config.digest
    assert tools.umoci("ls", "--layout", folder).split() == ["one"]
    tools.umoci("unpack", "--rootless", "--image", f"{folder}:one", tmp_path / "bundle")
    found = tmp_path / "bundle" / "rootfs" / "models" / "weights"
    assert found.read_bytes() == (tmp_path / "weights").read_bytes()


@pytest.mark.parametrize("form", ["oci-archive:{}:one", "docker-archive:{}:prebake/toy:one"])
def test_skopeo_takes_the_archive_as_a_layout_and_as_docker_s_own(
    tools: Tools, image: Image, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "image.tar"
    write_layout_tar(image, path, reference="prebake/toy:one")
    tools.skopeo("copy", form.format(path), f"dir:{tmp_path / 'copy'}")
    assert copied(tmp_path / "copy") == image.config.digest


def test_an_engine_loads_the_archive_under_its_name_and_digest(
    engine: Connection, tag: str, image: Image, tmp_path: Path
) -> None:
    load_archive(engine, layout_tar(image, reference=tag))
    assert inspect_image(engine, tag).digest == image.digest
    assert read_file(engine, tag, "/models/weights") == (tmp_path / "weights").read_bytes()


def test_an_archive_that_breaks_off_leaves_no_image(engine: Connection, tag: str, image: Image, tmp_path: Path) -> None:
    """The error is that of the bytes, not the Engine's about their end."""
    (tmp_path / "weights").write_bytes(b"changed")
    with pytest.raises(FileChanged, match="weights"):
        load_archive(engine, layout_tar(image, reference=tag))
    with pytest.raises(EngineError, match="has no image"):
        inspect_image(engine, tag)


@pytest.mark.parametrize("data", [b"no tar " * 1000, bytes(10240)], ids=["no tar", "an empty tar"])
def test_what_is_no_image_is_refused_in_the_engines_words(engine: Connection, data: bytes) -> None:
    with pytest.raises(EngineError, match="does not load the image: "):
        load_archive(engine, [data])
