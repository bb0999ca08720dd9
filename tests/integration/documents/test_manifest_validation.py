"""The builder's validation of a manifest: every key is checked, and every problem is reported with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prebake.documents.manifest.schema import SCHEMA
from prebake.documents.manifest.validation import InvalidManifest, check_manifest, seal_manifest
from tests.support.container.baking import bake
from tests.support.container.pooled import bake_pooled
from tests.support.images.blocks.checkpoint import bake as bake_blocks

CONFIG_FILE = "net/config.json"
ARTIFACT = {
    "requires": {"torch": "2"},
    "minimum": {},
    "byte_ranges": {CONFIG_FILE: [[0, 1]]},
    "key": "0" * 64,
    "key_inputs": {},
}
LIBRARIES = {**ARTIFACT, "name": "aot", "libraries": [{"folder": "net", "blocks": [0]}]}
CACHE = {**ARTIFACT, "name": "compile-cache", "cache": CONFIG_FILE}


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    return bake(tmp_path / "models")


@pytest.fixture(scope="module")
def manifest_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return (bake_blocks(tmp_path_factory.mktemp("baked")) / "manifest.json").read_text()


def find_problems(document: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidManifest) as caught:
        check_manifest(document)
    return caught.value.problems


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (("schema",), "1", "schema: should be a whole number"),
        (("schema",), 0, f"schema: should be {SCHEMA}"),
        (("schema",), True, "schema: should be a whole number"),
        (("name",), "", "name: should be"),
        (("model", "module"), "a/b", "model.module"),
        (("components",), [], "components: should be an object"),
        (("components", "linear", "graph"), "../x", "components.linear.graph: should be a relative path"),
        (("components", "linear", "graph"), "/x", "relative path"),
        (("components", "linear", "graph"), "a//x", "relative path"),
        (("components", "linear", "graph"), "linear/modle.onnx", 'did you mean "linear/model.onnx"'),
        (("components", "linear", "providers"), [], "providers: should be a list with something"),
        (("components", "linear", "session", "optimize"), "ful", "optimize: should be one of"),
        (("components", "linear", "session", "prepack"), 0, "prepack: should be a boolean"),
        (("components", "linear", "byte_ranges", "linear/model.bin"), [[0, -1]], "byte_ranges.linear/model.bin[0][1]"),
        (("components", "linear", "byte_ranges", "linear/model.bin"), [[0]], "should be a list of 2"),
        (("components", "linear", "byte_ranges", "linear/none"), [], "files has no linear/none"),
        (("components", "linear", "key"), "abc", "components.linear.key: should be a sha256"),
        (("files", "linear/model.bin", "size"), -1, "size: should be a whole number of bytes"),
        (("files", "linear/model.bin", "origin"), "publised", 'did you mean "published"'),
        (("warmup", "tolerance"), -1, "warmup.tolerance"),
        (("warmup", "answer"), "warmup/none", "files has no warmup/none"),
        (("limits", "queue"), 1.5, "limits.queue"),
        (("limits", "seconds"), 0, "limits.seconds"),
        (("limits", "secnds"), 1, 'did you mean "seconds"'),
    ],
)
def test_every_field_of_the_manifest_is_checked(
    manifest: dict[str, Any], place: tuple[str, ...], value: object, problem: str
) -> None:
    holder = manifest
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    assert any(problem in each for each in find_problems(manifest))


def add(artifact: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["components"]["net"].update(artifacts=[artifact])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document.pop("torch"), "torch: is missing, and torch serves net"),
        (lambda document: document["torch"].update(device="tpu"), "torch.device: should be one of cpu, cuda"),
        (lambda document: document["torch"].update(compiled="fast"), "torch.compiled: should be one of auto, aot"),
        (lambda document: document["torch"].update(cache=""), "torch.cache: is not known"),
        (add({**CACHE, "cache": "a/b"}), "artifacts.0.cache: files has no a/b"),
        (add({**CACHE, "name": "aot"}), "artifacts[0].name: should be one of compile-cache"),
        (add({**CACHE, "requires": {}}), "artifacts[0].requires: should be an object with something in it"),
        (add({**CACHE, "libraries": []}), "artifacts[0].libraries: is not known"),
        (add({**LIBRARIES, "byte_ranges": {"net/b.so": [[0, 1]]}}), "artifacts.0.byte_ranges: files has no net/b.so"),
        (add({**LIBRARIES, "libraries": [{"folder": "a", "blocks": [0]}]}), "byte_ranges has nothing below a"),
        (add({**LIBRARIES, "libraries": [{"folder": "/a", "blocks": [0]}]}), "relative path"),
        (add({**LIBRARIES, "libraries": [{"folder": "net", "blocks": []}]}), "something in it"),
        (add({**LIBRARIES, "graph": "net/model.onnx"}), "artifacts[0].graph: is not known"),
        (lambda document: document["components"]["net"].update(precision="fp8"), "components.net.precision: should be"),
        (lambda document: document["components"]["net"].update(config="net/c.json"), "files has no net/c.json"),
        (lambda document: document["components"]["net"].update(graph="g.onnx"), "components.net.graph: is not known"),
        (lambda document: document["components"]["net"].update(byte_ranges={"net/w": []}), "files has no net/w"),
        (
            lambda document: document["components"]["net"].update(byte_ranges={}),
            "byte_ranges: should be an object with something",
        ),
    ],
)
def test_a_manifest_that_is_wrong_about_torch_is_refused(
    manifest_text: str, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    document = json.loads(manifest_text)
    change(document)
    problems = find_problems(document)
    assert any(words in problem for problem in problems), problems


def test_every_problem_is_reported_at_once(manifest: dict[str, Any]) -> None:
    manifest["warmup"]["tolerance"] = "small"
    manifest["checkpiont"] = manifest.pop("checkpoint")
    problems = find_problems(manifest)
    assert [problem.partition(":")[0] for problem in problems] == ["checkpoint", "checkpiont", "warmup.tolerance"]
    assert 'did you mean "checkpoint"' in problems[1]


def test_a_range_past_the_end_of_its_file_is_a_problem(manifest: dict[str, Any]) -> None:
    manifest["components"]["linear"]["byte_ranges"]["linear/model.bin"] = [[64, 10_000]]
    assert any("a range ends at 10064, after the end of the file" in problem for problem in find_problems(manifest))


def test_nothing_is_sealed_that_is_invalid(manifest: dict[str, Any]) -> None:
    assert json.loads(seal_manifest(manifest))["digest"]
    del manifest["limits"]
    with pytest.raises(InvalidManifest, match="limits: is missing"):
        seal_manifest(manifest)


def test_the_top_manifest_of_several_models_lists_their_manifests() -> None:
    models = {name: {"manifest": f"members/{name}/manifest.json", "paths": {}} for name in ("left", "right")}
    top = {"schema": SCHEMA, "name": "pair", "target": "cpu", "models": models, "files": {}}
    assert find_problems(top) == [
        f"models.{name}.manifest: files has no members/{name}/manifest.json" for name in ("left", "right")
    ]
    del models["right"]
    assert find_problems(top) == ["models: should be an object with something in it"]


def test_buckets_name_axes_and_inputs_of_their_component(tmp_path: Path) -> None:
    shapes = [{"batch": 1, "token": 4}, {"batch": 2, "tokens": 8}]
    buckets = {"shapes": shapes, "pad": {"row": 0}, "overflow": "error"}
    assert find_problems(bake_pooled(tmp_path / "models", buckets)) == [
        'components.pooled.buckets.shapes: no input has an axis token (did you mean "tokens"?)',
        "components.pooled.buckets.shapes[1]: should have the axes batch, token, has batch, tokens",
        'components.pooled.buckets.pad: no input has the name row (did you mean "rows"?)',
    ]
