"""A manifest whose digest is right and whose content is not the builder's: a fault of the manifest, no hang and no other file."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from entrypoints.errors import DamagedFile, Fault, ManifestFault, ModelFault
from entrypoints.files.verification import check_sizes
from entrypoints.manifest.checks import are_relative
from entrypoints.manifest.reader import parse_manifest, read_manifest
from entrypoints.manifest.values import File
from entrypoints.model.preload import Preload
from entrypoints.model.worker import Worker
from entrypoints.processes.events import Failed
from entrypoints.processes.timeline import Timeline
from entrypoints.settings import Settings
from prebake.documents.canonical import seal
from prebake.documents.manifest.schema import PATH, SCHEMA
from tests.support.container.baking import describe_file, write_manifest
from tests.support.container.running import Start
from tests.support.container.two_models import SEVERAL, bake_two

BIAS = "linear/bias.txt"


def set_value(manifest: dict[str, Any], keys: tuple[str, ...], value: object) -> None:
    *parents, last = keys
    for key in parents:
        manifest = manifest[key]
    manifest[last] = value


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("name",), None, "name should be a non-empty string"),
        (("target",), None, "target should be a non-empty string"),
        (("checkpoint",), 7, "checkpoint should be a non-empty string"),
        (("model", "module"), None, "model: module should be a non-empty string"),
        (("model", "module"), "", "model: module should be a non-empty string"),
        (("model", "module"), "a..b", "model: module should be a module's dotted name"),
        (("model",), None, "model: TypeError"),
        (("components",), [], "components should be a JSON object"),
        (("components", "linear"), {}, "components: linear: KeyError: 'graph'"),
        (("components", "linear", "precision"), None, "components: linear: precision"),
        (("components", "linear", "session", "prepack"), "false", "components: linear: prepack should be one of"),
        (("components", "linear", "byte_ranges"), {"linear/model.bin": [["0", 1]]}, "components: linear: TypeError"),
        (
            ("components", "linear", "buckets"),
            {"shapes": [{"batch": "4"}], "pad": {}, "overflow": "error"},
            "TypeError",
        ),
        (("components", "linear", "buckets"), {"shapes": [], "pad": {"x": "0"}, "overflow": "error"}, "pad: x should"),
        (("components", "linear", "buckets"), {"shapes": [], "pad": {}, "overflow": "drop"}, "overflow should be one"),
        (("files", BIAS, "size"), "3", f"files: {BIAS}: size should be a whole number of bytes, is '3'"),
        (("files", BIAS, "size"), None, f"files: {BIAS}: size should be"),
        (("files", BIAS, "size"), 3.0, f"files: {BIAS}: size should be"),
        (("files", BIAS, "size"), -1, f"files: {BIAS}: size should be"),
        (("files", BIAS, "sha256"), None, f"files: {BIAS}: digests should be strings"),
        (("files", BIAS), {"size": 3}, f"files: {BIAS}: TypeError"),
        (("warmup", "tolerance"), "0.1", "warmup: tolerance should be a number, 0 or more, is '0.1'"),
        (("warmup", "tolerance"), None, "warmup: tolerance"),
        (("warmup", "tolerance"), 10**400, "warmup: OverflowError"),
        (("warmup", "answer"), None, "None"),
        (("warmup", "answer"), "warmup/other.json", "files has no warmup/other.json"),
        (("warmup", "media_type"), None, "warmup: media_type should be a non-empty string"),
        (("limits", "queue"), "x", "limits: queue should be a whole number"),
        (("limits", "queue"), -1, "limits: queue should be a whole number, 0 or more, is -1"),
        (("limits", "queue"), True, "limits: queue"),
        (("limits", "body_bytes"), -1, "limits: body_bytes"),
        (("limits", "seconds"), -1, "limits: seconds"),
        (("limits", "seconds"), 0, "limits: seconds should be above 0"),
        (("fallback",), "announce", "fallback should be one of warn, error, is 'announce'"),
        (("fallback",), 7, "fallback should be one of"),
        (("torch",), {"module": "a", "device": "tpu", "compiled": "none"}, "torch: device should be one of cpu, cuda"),
        (("components", "linear", "graph"), "../out/x.onnx", "relative paths .*'../out/x.onnx'"),
        (("warmup", "request"), "../../x", "relative paths .*'../../x'"),
    ],
)
def test_a_wrong_value_is_a_fault_of_the_manifest_and_its_place_is_named(
    manifest: dict[str, Any], keys: tuple[str, ...], value: object, words: str
) -> None:
    set_value(manifest, keys, value)
    with pytest.raises(ManifestFault, match=words):
        parse_manifest(seal(manifest))


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../../etc/hostname", "a/../../b", "..", ".", "", "a//b", "a/", "./a", "a\0b", "/\0/"]
)
def test_a_listed_file_outside_the_models_folder_is_refused(manifest: dict[str, Any], path: str) -> None:
    manifest["files"][path] = describe_file(b"content")
    with pytest.raises(ManifestFault, match="should be relative paths") as caught:
        parse_manifest(seal(manifest))
    assert str(caught.value).endswith(f": {path!r}")


def test_paths_are_judged_as_the_builder_judges_them() -> None:
    """Alone and among others: all texts of up to five characters."""
    for length in range(6):
        for characters in product("a./\0", repeat=length):
            path = "".join(characters)
            problems: list[str] = []
            PATH(path, "path", problems)
            assert are_relative([path]) is (not problems), path
            assert are_relative(["b/c", path, "..d"]) is (not problems), path
    for path in ("a\n/../b", "a/\n/./b", "a\n//b", "\n/b", "a\nb"):
        problems = []
        PATH(path, "path", problems)
        assert are_relative([path]) is (not problems), path
    assert not are_relative(["\ud800"])
    assert not are_relative([None])  # type: ignore[list-item]


def make_pipe(models: Path) -> None:
    os.mkfifo(models / "listed")


def make_folder(models: Path) -> None:
    (models / "listed").mkdir()


def link_to_device(models: Path) -> None:
    (models / "listed").symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [make_pipe, make_folder, link_to_device])
def test_a_listed_file_that_is_no_regular_file_is_refused(
    models: Path, manifest: dict[str, Any], make: Callable[[Path], None]
) -> None:
    make(models)
    manifest["files"]["listed"] = describe_file(b"")
    write_manifest(models, manifest)
    with pytest.raises(DamagedFile, match="listed: is not a regular file"):
        check_sizes(models, read_manifest(models).files)


def test_a_manifest_that_is_a_pipe_is_refused(models: Path, manifest: dict[str, Any]) -> None:
    (models / "manifest.json").unlink()
    os.mkfifo(models / "manifest.json")
    with pytest.raises(ManifestFault, match="not a regular file"):
        read_manifest(models)


def test_a_model_name_for_an_image_of_one_model(models: Path, manifest: dict[str, Any]) -> None:
    with pytest.raises(ManifestFault, match=r"has no models.*unset PREBAKE_MODEL_NAMES"):
        read_manifest(models, "tiny")


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ({"models": None}, "TypeError"),
        ({"models": {"tiny": {}}}, "KeyError: 'manifest'"),
        ({"models": {"tiny": {"manifest": "a/manifest.json"}}}, "KeyError: 'paths'"),
        ({"models": {"tiny": {"manifest": "a/manifest.json", "paths": {}}}}, "KeyError: 'files'"),
        ({"models": {"tiny": {"manifest": "../m.json", "paths": {}}}, "files": {}}, "relative paths .*'../m.json'"),
        ({"models": {"tiny": {"manifest": "a/m", "paths": {"a": "/b"}}}, "files": {}}, "relative paths .*'/b'"),
        ({"models": {"tiny": {"manifest": "a/m", "paths": {}}}, "files": {}}, "name"),
        ({"name": "two", "models": {"tiny": {"manifest": "a/m", "paths": {}}}, "files": {}}, "files has no a/m"),
        (
            {"name": "two", "models": {"tiny": {"manifest": "a/m", "paths": {}}}, "files": {"a/m": {"size": "3"}}},
            "files: a/m: TypeError",
        ),
    ],
)
def test_a_wrong_manifest_of_several_models(models: Path, top: dict[str, Any], words: str) -> None:
    models.mkdir()
    write_manifest(models, {"schema": SCHEMA, **top})
    with pytest.raises(ManifestFault, match=words):
        read_manifest(models, "tiny")


def test_the_models_of_an_image_are_read(tmp_path: Path) -> None:
    models = bake_two(tmp_path)
    for name in SEVERAL["PREBAKE_MODEL_NAMES"].split(","):
        manifest = read_manifest(models, name)
        check_sizes(models, manifest.files)


@pytest.mark.parametrize(
    ("keys", "value", "environ"),
    [
        (("files", BIAS, "size"), "3", {}),
        (("files", BIAS, "size"), None, {"PREBAKE_VERIFY": "sizes"}),
        (("target",), None, {}),
        (("limits", "queue"), "x", {}),
        (("checkpoint",), "same", {"PREBAKE_MODEL_NAMES": "tiny"}),
    ],
)
def test_the_start_ends_with_the_code_of_the_manifest(
    models: Path,
    manifest: dict[str, Any],
    start: Start,
    keys: tuple[str, ...],
    value: object,
    environ: dict[str, str],
) -> None:
    set_value(manifest, keys, value)
    write_manifest(models, manifest)
    server = start(**environ).wait_for("failed")
    assert server.get("/health").status_code == 503
    assert server.wait() == 70


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelFault("the original"), "the original"),
        (ValueError("the original"), "ValueError: the original"),
        (Unprintable(), "Unprintable"),
    ],
)
def test_a_failure_is_reported_though_the_search_for_its_cause_fails(
    models: Path, manifest: dict[str, Any], error: Exception, reason: str
) -> None:
    events: list[object] = []
    preload = Preload(Settings(models=str(models), verify="sizes"), Timeline(events.append), Worker(1))
    files = preload.read_manifest().files
    assert isinstance(files, dict)
    files[BIAS] = File("3", "0" * 64, "asset")  # type: ignore[arg-type]  # the order of sizes is undefined
    preload.fail(error)
    failed = events[-1]
    assert isinstance(failed, Failed)
    fault: Fault = failed.fault
    assert (type(fault), str(fault)) == (ModelFault, reason)
