"""``prebake init`` from an artifact as `oras push` makes one, each file with the media type of a tar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from prebake.oci.blobs.blobs import LAYER, MANIFEST, data_blob, make_image, read_all
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from tests.support.checkpoints.parts import sha256
from tests.support.commands.projects import Project, clone, read_lock
from tests.support.models.graphs import write_graph
from tests.support.registries.registry import running_registry

TITLE = "org.opencontainers.image.title"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return clone(tmp_path / "project", variables={"PREBAKE_CACHE": str(tmp_path / "cache")})


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry") as address:
        yield address


def oras_push(reference: str, folder: Path) -> dict[str, bytes]:
    """The files of a folder as `oras push REF FILE …` puts them there; their bytes by name."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    layers = [data_blob(LAYER, data, {TITLE: name}) for name, data in files.items()]
    config = data_blob("application/vnd.unknown.config.v1+json", b"{}")
    with closing(Repository(parse_reference(reference))) as repository:
        for blob in (config, *layers):
            repository.push(blob)
        repository.put_manifest("v1", MANIFEST, read_all(make_image(config, layers).manifest))
    return files


@pytest.mark.parametrize(("words", "taken"), [((), "model.onnx"), (("--file", "model_q4.onnx"), "model_q4.onnx")])
def test_what_oras_pushed_without_a_media_type_is_begun_with(
    project: Project, registry: str, tmp_path: Path, words: tuple[str, ...], taken: str
) -> None:
    for name in ("model.onnx", "model_q4.onnx"):
        write_graph(tmp_path / "pushed" / name, external=True, data=f"{name}_data")
    files = oras_push(f"{registry}/models/tiny:v1", tmp_path / "pushed")
    project.run("init", "tiny", "--from", f"oci:{registry}/models/tiny:v1", *words).expect(0)
    document = yaml.safe_load((project.root / "images" / "tiny" / "image.yaml").read_text())
    (source,) = document["checkpoints"]["published"]["sources"]
    assert (source["from"], source["files"]) == ("oci", [taken, f"{taken}_data"])
    for file in read_lock(project, "tiny").checkpoints["published"].files:
        assert file.sha256 == sha256(files[Path(file.path).name])
