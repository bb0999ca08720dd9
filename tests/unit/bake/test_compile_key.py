"""The key of a compiled graph: each thing that it follows from, changed in turn, gives another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx_ir
import onnxruntime
import pytest

from prebake.bake import compile_key
from prebake.bake.compile_key import key_fields
from prebake.bake.component import Component, Precision, Session
from prebake.bake.documents import digest_json, digest_sources
from prebake.bake.exported import Exported
from prebake.bake.job import Files, Job
from prebake.bake.settings import Settings

FILES: Files = {
    "words/model.safetensors": {"size": 1, "sha256": "1" * 64},
    "sound/model.safetensors": {"size": 1, "sha256": "2" * 64},
}
COMPONENT: Mapping[str, Mapping[str, Any]] = {
    "precision": {"precision": Precision("int8", bound=0.1)},
    "providers": {"providers": ("CUDAExecutionProvider", "CPUExecutionProvider")},
    "session": {"session": Session(prepack=True)},
    "buckets": {"buckets": ({"batch": 8},)},
    "options": {"options": {"cuda": {"use_tf32": "1"}}},
}


@pytest.fixture
def job(settings: Settings, exported: Path, tmp_path: Path) -> Job:
    shutil.copytree(exported, tmp_path / "exported")
    return Job(settings, Exported.load(tmp_path / "exported"), tmp_path / "models")


def key(job: Job, files: Files = FILES, name: str = "words") -> str:
    return digest_json(key_fields(job, name, files))


def changed(job: Job, **change: Any) -> Job:
    words: Component = replace(job.settings.components["words"], **change)
    return replace(job, settings=replace(job.settings, components={**job.settings.components, "words": words}))


def test_every_setting_of_the_component_is_part_of_it_and_no_other_components(job: Job) -> None:
    others = {field: changed(job, **change) for field, change in COMPONENT.items()}
    keys = {key(other) for other in others.values()}
    keys.add(key(replace(job, settings=replace(job.settings, target="tensorrt"))))
    assert len(keys) == len(COMPONENT) + 1
    assert key(job) not in keys
    assert {key(other, name="sound") for other in others.values()} == {key(job, name="sound")}
    for field, other in others.items():
        before, after = key_fields(job, "words", FILES), key_fields(other, "words", FILES)
        assert [name for name in before if before[name] != after[name]] == [field]


@pytest.mark.parametrize("what", ["graph", "constants"])
def test_what_was_exported_is_part_of_it(job: Job, what: str) -> None:
    before = key(job)
    path = job.exported.graph("words") if what == "graph" else job.exported_constants("words")
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\0")
    assert key(job) != before


def test_a_weight_file_of_its_folder_is_part_of_it_and_no_other(job: Job) -> None:
    def with_sha256(path: str) -> Files:
        return {**FILES, path: {**FILES[path], "sha256": "3" * 64}}

    assert key(job, with_sha256("words/model.safetensors")) != key(job)
    assert key(job, with_sha256("sound/model.safetensors")) == key(job)


@pytest.mark.parametrize("package", [onnxruntime, onnx_ir], ids=["onnxruntime", "onnx_ir"])
def test_versions_of_what_makes_it_are_part_of_it(
    job: Job, monkeypatch: pytest.MonkeyPatch, package: ModuleType
) -> None:
    before = key(job)
    monkeypatch.setattr(package, "__version__", "0.1")
    assert key(job) != before


def test_every_byte_of_the_compilers_own_code_is_part_of_it(job: Job, tmp_path: Path) -> None:
    own, copy = Path(compile_key.__file__).parent, tmp_path / "bake"
    shutil.copytree(own, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert key_fields(job, "words", FILES)["bake"] == digest_sources(own) == digest_sources(copy)
    with (copy / "parity.py").open("ab") as code:
        code.write(b"#")
    assert digest_sources(copy) != digest_sources(own)
