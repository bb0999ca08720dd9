"""``prebake init`` from where checkpoints are published: what is needed is fetched, and pinned in spec and lock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from prebake.workflow.init.recognizers.recognizer import InitRefused
from tests.support.checkpoint_servers import hubserver, modelscopeserver
from tests.support.checkpoint_servers.hubserver import HubServer, serve_hub
from tests.support.checkpoint_servers.modelscopeserver import serve_modelscope
from tests.support.checkpoint_servers.webserver import serve
from tests.support.commands.projects import Project, clone, read_lock
from tests.support.models import pretrained
from tests.support.models.graphs import write_graph


@pytest.fixture
def project(tmp_path: Path) -> Project:
    home = {"HF_HOME": str(tmp_path / "hf"), "MODELSCOPE_CACHE": str(tmp_path / "ms")}
    return clone(tmp_path / "project", variables={**home, "PREBAKE_CACHE": str(tmp_path / "cache")})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    pretrained.write_classifier(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


@pytest.fixture
def hub(folder: Path) -> Iterator[HubServer]:
    with serve_hub() as server:
        for path in sorted(folder.iterdir()):
            server.publish(path.name, path.read_bytes(), large=path.suffix == ".safetensors")
        server.publish("pytorch_model.bin", b"another form of the same", large=True)
        server.publish(".gitattributes", b"", large=False)
        yield server


def spec_of(project: Project, name: str) -> dict[str, object]:
    document = yaml.safe_load((project.root / "images" / name / "image.yaml").read_text())
    assert document["checkpoint"] == "published"
    (source,) = document["checkpoints"]["published"]["sources"]
    return {**source, "license": document["checkpoints"]["published"]["license"]["id"]}


def test_a_hubs_repository_is_fetched_and_pinned(project: Project, hub: HubServer) -> None:
    origin = f"hub:{hubserver.REPOSITORY}"
    project.run("init", "moods", "--from", origin, HF_ENDPOINT=hub.url).expect(0)
    source = spec_of(project, "moods")
    assert (source["from"], source["repository"], source["revision"]) == ("hub", hubserver.REPOSITORY, "main")
    assert source["license"] == "Apache-2.0"
    locked = read_lock(project, "moods").checkpoints["published"]
    assert {file.revision for file in locked.files} == {hubserver.COMMIT}
    assert "moods/model.safetensors" in {file.path for file in locked.files}
    fetched = [seen.path for seen in (*hub.seen, *hub.cdn.seen)]
    assert not any("pytorch_model.bin" in path for path in fetched)
    assert project.half_written() == []
    project.run("--model", "moods", "--plan").expect(0)


def test_what_documents_rule_out_costs_no_weights(project: Project, hub: HubServer, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["GPT2LMHeadModel"]}
    hub.siblings = [each for each in hub.siblings if each["rfilename"] != "config.json"]
    hub.publish("config.json", json.dumps(config).encode(), large=False)
    ended = project.run(
        "init", "moods", "--from", f"hub:{hubserver.REPOSITORY}@{hubserver.COMMIT}", HF_ENDPOINT=hub.url
    )
    assert "GPT2LMHeadModel" in ended.expect(InitRefused.exit_code).stderr
    assert hub.cdn.seen == []
    assert not (project.root / "images").exists()


def test_modelscope_is_asked_for_its_own_branch(project: Project, folder: Path) -> None:
    with serve_modelscope() as server:
        for path in sorted(folder.iterdir()):
            server.publish(path.name, path.read_bytes(), large=path.suffix == ".safetensors")
        origin = f"modelscope:{modelscopeserver.REPOSITORY}"
        project.run("init", "moods", "--from", origin, "--license", "MIT", MODELSCOPE_ENDPOINT=server.url).expect(0)
    source = spec_of(project, "moods")
    assert (source["from"], source["revision"], source["license"]) == ("modelscope", "master", "MIT")


def test_a_graphs_url_is_enough(project: Project, tmp_path: Path) -> None:
    with serve() as server:
        server.files["/graphs/scores.onnx"] = write_graph(tmp_path / "scores.onnx").read_bytes()
        url = f"{server.url}/graphs/scores.onnx"
        project.run("init", "scores", "--from", url).expect(0)
    assert spec_of(project, "scores")["url"] == url


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("hub:nobody/nothing", "does not exist"),
        ("hub:nothing", "does not exist"),
        ("hub:", "is not a valid hub source"),
        ("modelscope:nothing", "is not a valid modelscope source"),
        (f"hub:{hubserver.REPOSITORY}@elsewhere", "has no revision elsewhere"),
        ("s3://", "is not a valid s3 source"),
    ],
)
def test_what_is_not_there_is_named(project: Project, hub: HubServer, origin: str, said: str) -> None:
    ended = project.run("init", "moods", "--from", origin, HF_ENDPOINT=hub.url)
    assert ended.code not in (0, 1)
    assert said in ended.stderr
    assert not (project.root / "images").exists()
