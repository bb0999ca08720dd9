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

import prebake.bake
import prebake.documents
from prebake.bake.model_folder.compile_job import CompileJob, FileEntries, graph_key_fields
from prebake.bake.model_folder.export_folder import Exported
from prebake.documents.canonical import digest_json, digest_sources
from prebake.documents.component import ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import StageSettings

FILES: FileEntries = {
    "words/model.safetensors": {"size": 1, "sha256": "1" * 64},
    "sound/model.safetensors": {"size": 1, "sha256": "2" * 64},
}
COMPONENT: Mapping[str, Mapping[str, Any]] = {
    "precision": {"precision": Precision("int8", max_relative_error=0.1)},
    "providers": {"providers": ("CUDAExecutionProvider", "CPUExecutionProvider")},
    "session": {"session": SessionSettings(prepack=True)},
    "buckets": {"buckets": ({"batch": 8},)},
    "options": {"options": {"cuda": {"use_tf32": "1"}}},
}


@pytest.fixture
def job(settings: StageSettings, exported: Path, tmp_path: Path) -> CompileJob:
    shutil.copytree(exported, tmp_path / "exported")
    return CompileJob(settings, Exported.load(tmp_path / "exported"), tmp_path / "models")


def key(job: CompileJob, files: FileEntries = FILES, name: str = "words") -> str:
    return digest_json(graph_key_fields(job, name, files))


def changed(job: CompileJob, **change: Any) -> CompileJob:
    words: ComponentSettings = replace(job.settings.components["words"], **change)
    return replace(job, settings=replace(job.settings, components={**job.settings.components, "words": words}))


def test_every_setting_of_the_component_is_part_of_it_and_no_other_components(job: CompileJob) -> None:
    others = {field: changed(job, **change) for field, change in COMPONENT.items()}
    keys = {key(other) for other in others.values()}
    keys.add(key(replace(job, settings=replace(job.settings, target="tensorrt"))))
    assert len(keys) == len(COMPONENT) + 1
    assert key(job) not in keys
    assert {key(other, name="sound") for other in others.values()} == {key(job, name="sound")}
    for field, other in others.items():
        before, after = graph_key_fields(job, "words", FILES), graph_key_fields(other, "words", FILES)
        assert [name for name in before if before[name] != after[name]] == [field]


@pytest.mark.parametrize("what", ["graph", "constants"])
def test_what_was_exported_is_part_of_it(job: CompileJob, what: str) -> None:
    before = key(job)
    path = job.exported.graph("words") if what == "graph" else job.exported_constants("words")
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\0")
    assert key(job) != before


def test_a_weight_file_of_its_folder_is_part_of_it_and_no_other(job: CompileJob) -> None:
    def with_sha256(path: str) -> FileEntries:
        return {**FILES, path: {**FILES[path], "sha256": "3" * 64}}

    assert key(job, with_sha256("words/model.safetensors")) != key(job)
    assert key(job, with_sha256("sound/model.safetensors")) == key(job)


@pytest.mark.parametrize("package", [onnxruntime, onnx_ir], ids=["onnxruntime", "onnx_ir"])
def test_versions_of_what_makes_it_are_part_of_it(
    job: CompileJob, monkeypatch: pytest.MonkeyPatch, package: ModuleType
) -> None:
    before = key(job)
    monkeypatch.setattr(package, "__version__", "0.1")
    assert key(job) != before


@pytest.mark.parametrize("name", ["bake/parity/compare.py", "bake/errors.py", "documents/canonical.py"])
def test_every_byte_of_the_stages_own_code_is_part_of_it(job: CompileJob, tmp_path: Path, name: str) -> None:
    own = [Path(package.__path__[0]) for package in (prebake.bake, prebake.documents)]
    for folder in own:
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    copies = [tmp_path / folder.name for folder in own]
    assert graph_key_fields(job, "words", FILES)["bake"] == digest_sources(*own) == digest_sources(*copies)
    with (tmp_path / name).open("ab") as code:
        code.write(b"#")
    assert digest_sources(*copies) != digest_sources(*own)
