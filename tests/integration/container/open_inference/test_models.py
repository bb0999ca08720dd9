"""Paths, names of models, and documents: the part of the protocol that the server process has."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from entrypoints.contract import BadRequest, Field
from entrypoints.manifest.reader import parse_manifest
from entrypoints.open_inference import metadata, repository
from entrypoints.open_inference.models import ImageModel, ModelDirectory, ModelStarting, UnknownModel
from entrypoints.open_inference.routes import NoRoute, Route, WrongMethod, find_route
from entrypoints.open_inference.statistics import MAX_BATCH_SIZES, InferTimes, ModelStatistics
from prebake.documents.canonical import seal
from tests.support.manifests import make_manifest
from tests.support.repository import ROOT

TEXT = (Field("text", "text", "A text.", required=True),)


def make_model(name: str, *components: str, module: str = "images.tiny.model", **keys: Any) -> ImageModel:
    manifest = make_manifest({component: dict(keys) for component in components})
    manifest["model"]["module"] = module
    return ImageModel(name, parse_manifest(seal(manifest)), TEXT)


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/v2", Route("server metadata")),
        ("HEAD", "/v2/health/live", Route("live")),
        ("GET", "/v2/models/a", Route("model metadata", "a")),
        ("GET", "/v2/models/a b.c/ready", Route("model ready", "a b.c")),
        ("GET", "/v2/models/stats", Route("statistics")),
        ("GET", "/v2/models/stats/stats", Route("model statistics", "stats")),
        ("GET", "/v2/models/a/versions/1", Route("model metadata", "a", "1")),
        ("GET", "/v2/models/a/versions/2/config", Route("model config", "a", "2")),
        ("POST", "/v2/models/a/infer", Route("infer", "a")),
        ("POST", "/v2/models/a/versions/1/generate", Route("generate", "a", "1")),
        ("POST", "/v2/repository/index", Route("repository index")),
        ("POST", "/v2/repository/models/a/unload", Route("unload", "a")),
        ("GET", "/v2/cudasharedmemory/region/r/status", Route("shared memory region status", region="r")),
    ],
)
def test_paths_of_the_protocol(method: str, path: str, route: Route) -> None:
    assert find_route(method, path)._replace(pattern="") == route


@pytest.mark.parametrize(
    "path", ["/", "/v2/", "/v2//models", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/a/", "/v2/models/a/b",
             "/v2/models/a/versions", "/v2/models/a/versions//infer", "/v2/models/a/infer/b", "/v3", "/v2/trace/setting", "v2"],
)  # fmt: skip
def test_other_paths_are_not(path: str) -> None:
    with pytest.raises(NoRoute, match="There is no endpoint"):
        find_route("GET", path)


def test_another_method_is_told_which_one_to_use() -> None:
    with pytest.raises(WrongMethod, match="/v2/models/a/infer accepts POST, not GET") as caught:
        find_route("GET", "/v2/models/a/infer")
    assert caught.value.allowed == "POST"
    with pytest.raises(WrongMethod) as caught:
        find_route("DELETE", "/v2")
    assert caught.value.allowed == "GET, HEAD"


def test_a_name_that_is_ambiguous_or_a_models_is_no_graphs() -> None:
    directory = ModelDirectory([make_model("one", "encoder", "vocoder", "two"), make_model("two", "encoder", "net")])
    assert [model.name for model in directory.listed] == [
        "one", "one.encoder", "one.two", "one.vocoder", "two", "two.encoder", "two.net",
    ]  # fmt: skip
    for name, key in {
        "one": ("one", ""),
        "two": ("two", ""),
        "one.two": ("one", "two"),
        "vocoder": ("one", "vocoder"),
        "net": ("two", "net"),
        "two.encoder": ("two", "encoder"),
    }.items():
        assert directory.find(name).key == key
        assert directory.find(name).name == name
    with pytest.raises(UnknownModel, match=r"'encoder' is not found \(there are one.encoder and two.encoder\)"):
        directory.find("encoder")


def test_an_image_without_code_of_its_own_is_its_first_graph() -> None:
    model = make_model("images", "first", "second", module="entrypoints.model.tensor_model")
    directory = ModelDirectory([model])
    assert directory.find("images").component == "first"
    assert directory.find("images").key == directory.find("images.first").key == directory.find("first").key
    assert [each.name for each in directory.listed] == ["images", "images.second"]


def test_a_model_of_the_same_name_as_its_graph_is_asked_by_its_form() -> None:
    directory = ModelDirectory([make_model("minilm", "minilm")])
    assert directory.find("minilm").takes_form
    assert directory.find("minilm.minilm").component == "minilm"


def test_a_graph_with_a_datatype_that_the_protocol_lacks_is_not_offered() -> None:
    model = make_model("one", "net", inputs={"x": ["complex64", [1]]})
    assert [each.name for each in ModelDirectory([model]).listed] == ["one"]


def test_until_every_manifest_is_read_an_unknown_name_may_become_known() -> None:
    directory = ModelDirectory([make_model("one", "encoder"), ImageModel("two", None)])
    assert directory.find("one.encoder").key == ("one", "encoder")
    for name in ("two", "encoder", "three"):
        with pytest.raises(ModelStarting, match="two: the model is loading"):
            directory.find(name)


def test_unknown_names_and_versions_are_quoted_in_part() -> None:
    directory = ModelDirectory([make_model("one", "net")])
    with pytest.raises(UnknownModel) as caught:
        directory.find("x" * 100_000)
    assert len(str(caught.value)) < 200
    for version in ("2", "01", "x", "1" * 1000):
        with pytest.raises(UnknownModel, match="its only version is 1") as caught:
            directory.find("net", version)
        assert len(str(caught.value)) < 200


def test_shapes_have_no_names_of_axes() -> None:
    model = make_model("one", "net", inputs={"x": ["bfloat16", ["batch", 4]], "y": ["string", None]}).manifest
    found = ModelDirectory([ImageModel("one", model)]).find("net")
    assert metadata.describe_model(found)["inputs"] == [
        {"name": "x", "datatype": "BF16", "shape": [-1, 4]},
        {"name": "y", "datatype": "BYTES", "shape": [-1]},
    ]
    config = metadata.describe_config(found, workers=3, device="cuda")
    assert config["input"][0] == {"name": "x", "data_type": "TYPE_BF16", "dims": [-1, 4], "optional": False}
    assert config["instance_group"] == [{"name": "net", "kind": "KIND_GPU", "count": 3}]


def test_statistics_keep_few_batch_sizes() -> None:
    statistics = ModelStatistics()
    for size in range(1000):
        statistics.add_success(10, 1, InferTimes(2, 3, 4, size))
    described = statistics.describe("net")
    assert len(described["batch_stats"]) == MAX_BATCH_SIZES
    assert (described["inference_count"], described["execution_count"]) == (sum(range(1000)), 1000)
    assert described["inference_stats"]["compute_output"] == {"count": 1000, "ns": 4000}


def test_the_index_has_words_of_triton_for_states() -> None:
    entries = [
        repository.IndexEntry("a", "ready"),
        repository.IndexEntry("b", "failed", "the graph is damaged"),
        repository.IndexEntry("c", "unloaded"),
        repository.IndexEntry("d", "starting", "the model is loading"),
    ]
    listed = repository.describe_index(entries, only_ready=False)
    assert [(each["state"], each["reason"]) for each in listed] == [
        ("READY", ""), ("UNAVAILABLE", "the graph is damaged"), ("UNAVAILABLE", "unloaded"), ("LOADING", "the model is loading"),
    ]  # fmt: skip
    assert [each["name"] for each in repository.describe_index(entries, only_ready=True)] == ["a"]


@pytest.mark.parametrize("body", [b"[]", b"{", b"[" * 1000, b"\xff", b"1", b'{"parameters": 1}'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        repository.check_load_request(body)
    assert caught.value.status == 400


def test_a_large_body_is_not_parsed() -> None:
    with pytest.raises(BadRequest) as caught:
        repository.read_index_request(b" " * 100_000)
    assert caught.value.status == 413
    assert repository.read_index_request(b"") is False
    assert repository.read_index_request(b'{"ready": true}') is True


def test_the_server_process_needs_no_numpy() -> None:
    folder = ROOT / "entrypoints/open_inference"
    modules = ", ".join(f"entrypoints.open_inference.{path.stem}" for path in sorted(folder.glob("[a-z]*.py")))
    code = f"import sys, {modules}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
