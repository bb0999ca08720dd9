"""``prebake init`` from caches whose files are symbolic links, and by way of links."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from tests.support.checkpoint_servers.hubserver import COMMIT, REPOSITORY, HubServer, serve_hub
from tests.support.commands.projects import Project, clone, read_lock
from tests.support.models import pretrained
from tests.support.models.graphs import write_graph

GRAPH, DATA = "onnx/model.onnx", "onnx/model.onnx_data"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Its HF_HOME is a link to another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "hf").symlink_to(tmp_path / "disk")
    return clone(
        tmp_path / "project", variables={"HF_HOME": str(tmp_path / "hf"), "PREBAKE_CACHE": str(tmp_path / "cache")}
    )


def publish(server: HubServer, folder: Path) -> None:
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        large = path.suffix in (".safetensors", ".onnx", ".onnx_data")
        server.publish(path.relative_to(folder).as_posix(), path.read_bytes(), large=large)


def cached(project: Project, server: HubServer) -> Path:
    """The snapshot in the project's cache, as huggingface_hub lays it out."""
    cache = Path(project.variables["HF_HOME"], "hub")
    for sibling in server.siblings:
        hf_hub_download(REPOSITORY, str(sibling["rfilename"]), revision=COMMIT, endpoint=server.url, cache_dir=cache)
    return cache / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / COMMIT


def locked_files(project: Project) -> set[str]:
    (checkpoint,) = read_lock(project, "tiny").checkpoints.values()
    return {Path(file.locator).name for file in checkpoint.files}


@pytest.mark.parametrize("way", ["the file", "the folder", "a link to the file", "a link to the folder"])
def test_a_graph_in_the_hubs_cache_is_begun_with(project: Project, tmp_path: Path, way: str) -> None:
    write_graph(tmp_path / "published" / GRAPH, external=True, data=Path(DATA).name)
    with serve_hub() as server:
        publish(server, tmp_path / "published")
        snapshot = cached(project, server)
    origin = snapshot / GRAPH if "file" in way else snapshot
    assert (snapshot / GRAPH).is_symlink()
    if "link" in way:
        link = tmp_path / ("mine.onnx" if "file" in way else "mine")
        link.symlink_to(origin)
        origin = link
    said = project.run("init", "tiny", "--from", str(origin)).expect(0).stderr
    assert locked_files(project) == {Path(GRAPH).name, Path(DATA).name}
    assert "leaves" not in said
    project.run("--model", "tiny", "--plan").expect(0)


def test_a_transformers_folder_in_the_hubs_cache_is_begun_with(project: Project, tmp_path: Path) -> None:
    pretrained.write_classifier(tmp_path / "published")
    with serve_hub() as server:
        publish(server, tmp_path / "published")
        snapshot = cached(project, server)
    said = project.run("init", "tiny", "--from", str(snapshot)).expect(0).stderr
    assert "model.safetensors" in locked_files(project)
    assert "leaves" not in said


def test_what_the_cache_has_is_not_downloaded_again(project: Project, tmp_path: Path) -> None:
    write_graph(tmp_path / "published" / GRAPH)
    with serve_hub() as server:
        publish(server, tmp_path / "published")
        cached(project, server)
        before = len(server.cdn.seen)
        project.run("init", "tiny", "--from", f"hub:{REPOSITORY}", HF_ENDPOINT=server.url).expect(0)
        assert len(server.cdn.seen) == before


def test_a_strangers_file_behind_a_link_is_told(project: Project, tmp_path: Path) -> None:
    write_graph(tmp_path / "strangers" / "model.onnx")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.onnx").symlink_to(tmp_path / "strangers" / "model.onnx")
    said = project.run("init", "tiny", "--from", str(tmp_path / "mine")).expect(0).stderr
    assert f"Prebake uses the bytes of {tmp_path / 'strangers' / 'model.onnx'}" in said
