"""``prebake init`` from a repository that holds one graph in several forms: one of them is fetched, and only that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from prebake.workflow.init.recognizers.recognizer import InitRefused
from tests.support.checkpoint_servers.hubserver import HubServer, serve_hub
from tests.support.checkpoint_servers.modelscopeserver import REPOSITORY, serve_modelscope
from tests.support.checkpoint_servers.s3server import ENVIRONMENT, serve_s3
from tests.support.commands.projects import Project, clone, read_lock
from tests.support.models.graphs import write_graph

PLAIN, FP16, Q4 = "onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_q4.onnx"
DATA = f"{Q4}_data"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    home = {"HF_HOME": str(tmp_path / "hf"), "MODELSCOPE_CACHE": str(tmp_path / "ms")}
    return clone(tmp_path / "project", variables={**home, "PREBAKE_CACHE": str(tmp_path / "cache")})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a repository as transformers.js wants one."""
    folder = tmp_path_factory.mktemp("published")
    for seed, name in enumerate((PLAIN, FP16)):
        write_graph(folder / name, seed=seed)
    write_graph(folder / Q4, external=True, seed=9, data=Path(DATA).name)
    (folder / "config.json").write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def serve(published: dict[str, bytes], repository: str, *names: str) -> Iterator[HubServer]:
    with serve_hub(repository) as server:
        for name in names or published:
            server.publish(name, published[name], large=name.endswith((".onnx", "_data")))
        yield server


@pytest.fixture
def hub(published: dict[str, bytes]) -> Iterator[HubServer]:
    yield from serve(published, "owner/tiny")


def downloaded(server: HubServer) -> set[str]:
    """The files that were asked for, whether they lie on the hub or elsewhere."""
    return {seen.path.partition("/resolve/")[2].partition("/")[2] for seen in server.seen if "/resolve/" in seen.path}


def source_of(project: Project) -> dict[str, object]:
    document = yaml.safe_load((project.root / "images" / "tiny" / "image.yaml").read_text())
    (source,) = document["checkpoints"]["published"]["sources"]
    return dict(source)


def test_the_plain_form_is_fetched_alone(project: Project, hub: HubServer) -> None:
    said = project.run("init", "tiny", "--from", "hub:owner/tiny", HF_ENDPOINT=hub.url).expect(0).stderr
    assert downloaded(hub) == {PLAIN, "config.json"}
    assert source_of(project)["files"] == [PLAIN]
    assert f"other variants, which --file can choose: {FP16}, {Q4}" in said


@pytest.mark.parametrize(
    "words", [(f"hub:owner/tiny/{Q4}",), ("hub:owner/tiny", "--file", Q4), (f"hub:owner/tiny@main/{Q4}",)]
)
def test_another_form_is_named_and_its_data_come_with_it(
    project: Project, hub: HubServer, words: tuple[str, ...]
) -> None:
    project.run("init", "tiny", "--from", *words, HF_ENDPOINT=hub.url).expect(0)
    assert downloaded(hub) == {Q4, DATA}
    assert source_of(project)["files"] == [Q4, DATA]
    assert {file.locator for file in read_lock(project, "tiny").checkpoints["published"].files} == {Q4, DATA}
    project.run("--model", "tiny", "--plan").expect(0)


def test_which_form_is_meant_is_asked_before_the_download(project: Project, published: dict[str, bytes]) -> None:
    for server in serve(published, "owner/tiny", "config.json", FP16, Q4, DATA):
        ended = project.run("init", "tiny", "--from", "hub:owner/tiny", HF_ENDPOINT=server.url)
        said = ended.expect(InitRefused.exit_code).stderr
        assert (FP16 in said, Q4 in said, "--file FILE" in said) == (True, True, True)
        assert downloaded(server) == set()
        assert not (project.root / "images").exists()


def test_a_file_that_is_not_there_is_told_with_those_that_are(project: Project, hub: HubServer) -> None:
    ended = project.run("init", "tiny", "--from", "hub:owner/tiny/onnx/model_q5.onnx", HF_ENDPOINT=hub.url)
    assert (
        "no file or folder onnx/model_q5.onnx; it has onnx/model_q4.onnx" in ended.expect(InitRefused.exit_code).stderr
    )
    assert downloaded(hub) == set()


@pytest.mark.parametrize("origin", ["hub:gpt2", f"hub:gpt2/{PLAIN}", f"hub:gpt2/{PLAIN}@main"])
def test_a_repository_may_have_no_owner(project: Project, published: dict[str, bytes], origin: str) -> None:
    for server in serve(published, "gpt2"):
        project.run("init", "tiny", "--from", origin, HF_ENDPOINT=server.url).expect(0)
        assert source_of(project)["repository"] == "gpt2"
        assert source_of(project)["files"] == [PLAIN]
        (file,) = read_lock(project, "tiny").checkpoints["published"].files
        assert file.source == "hub:gpt2@main"
        project.run("lock", "--model", "tiny", HF_ENDPOINT=server.url).expect(0)
        project.run("--model", "tiny", "--plan").expect(0)


def test_a_file_of_modelscope_is_named(project: Project, published: dict[str, bytes]) -> None:
    with serve_modelscope() as server:
        for name, data in published.items():
            server.publish(name, data, large=True)
        project.run("init", "tiny", "--from", f"modelscope:{REPOSITORY}/{Q4}", MODELSCOPE_ENDPOINT=server.url).expect(0)
    assert source_of(project)["files"] == [Q4, DATA]


def test_an_object_of_a_bucket_is_named(project: Project, published: dict[str, bytes]) -> None:
    with serve_s3() as server:
        for name, data in published.items():
            server.put(name, data)
        environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{server.front.address}"}
        project.run("init", "tiny", "--from", f"{server.url}/{Q4}", **environment).expect(0)
        assert source_of(project)["url"] == f"{server.url}/onnx"
        assert source_of(project)["files"] == ["model_q4.onnx", "model_q4.onnx_data"]
        project.run("init", "plain", "--from", server.url, **environment).expect(0)
        assert (project.root / "images" / "plain").is_dir()


def test_a_file_of_a_folder_of_this_machine_is_named(
    project: Project, published: dict[str, bytes], tmp_path: Path
) -> None:
    for name, data in published.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    ended = project.run("init", "tiny", "--from", str(tmp_path / "mine"))
    assert f"{FP16}: is a variant of {PLAIN}" in ended.expect(InitRefused.exit_code).stderr
    project.run("init", "tiny", "--from", str(tmp_path / "mine"), "--file", Q4).expect(0)
    (file, data_file) = read_lock(project, "tiny").checkpoints["local"].files
    assert (file.locator, data_file.locator) == ("model_q4.onnx", "model_q4.onnx_data")
