"""Export and compile over a model with one of everything."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import load_file

from prebake.bake.errors import BakeError
from prebake.bake.graphs.sessions import open_session
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.compile_graphs import compile_image
from prebake.bake.stages.export import export_image
from prebake.bake.weights.safetensors_reader import read_index
from prebake.documents.canonical import canonical_json, digest_file
from prebake.documents.component import SessionSettings
from prebake.documents.settings import StageSettings
from prebake.documents.stage_events import COMPONENT_EXPORTED, EVENTS_FILE, StageEvent
from tests.support.repository import ROOT, TINY_IMAGES


@pytest.fixture(scope="module")
def manifest(models: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((models / "manifest.json").read_bytes())
    return content


def external(models: Path, component: str) -> dict[str, dict[str, str]]:
    """Each external initializer's entries: location, offset, length."""
    graph = onnx.load(str(models / component / "model.onnx"), load_external_data=False).graph
    return {
        each.name: {entry.key: entry.value for entry in each.external_data}
        for each in graph.initializer
        if each.external_data
    }


def scores(graph: Path, tokens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = open_session(graph, SessionSettings(), ["CPUExecutionProvider"])
    answer: np.ndarray[Any, Any] = session.run(["scores"], {"tokens": tokens})[0]
    return answer


def test_the_manifest_is_canonical_and_names_every_file(models: Path, manifest: dict[str, Any]) -> None:
    assert (models / "manifest.json").read_bytes() == canonical_json(manifest)
    present = {path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file()}
    assert manifest["files"].keys() | {"manifest.json"} == present
    for path, entry in manifest["files"].items():
        assert entry["size"] == (models / path).stat().st_size
        assert entry["sha256"] == digest_file(models / path)


def test_every_file_has_its_origin(manifest: dict[str, Any]) -> None:
    assert {path: entry["origin"] for path, entry in manifest["files"].items()} == {
        "words/model.safetensors": "published",
        "words/model.onnx": "graph",
        "words/constants.safetensors": "derived",
        "words/notice.txt": "asset",
        "sound/model.safetensors": "derived",
        "sound/constants.safetensors": "derived",
        "sound/model.onnx": "graph",
        "warmup/request.json": "warmup",
        "warmup/clip.bin": "warmup",
        "warmup/answer.json": "warmup",
    }


def test_signatures_keep_their_dynamic_names(manifest: dict[str, Any]) -> None:
    words = manifest["components"]["words"]
    assert words["inputs"] == {"tokens": ["int64", ["batch", "length"]]}
    assert words["outputs"]["scores"][0] == "float32"
    assert manifest["components"]["sound"]["inputs"]["x"] == ["float32", [1, 4, "samples"]]


def test_the_warm_up_request_refers_to_files_of_the_image(models: Path, manifest: dict[str, Any]) -> None:
    request = json.loads((models / manifest["warmup"]["request"]).read_bytes())
    assert request == {"fields": {"prompt": "tick", "clip": {"file": "warmup/clip.bin"}}}
    assert (models / "warmup/clip.bin").read_bytes() == b"\x00\x01"
    assert manifest["warmup"]["answer"] == "warmup/answer.json"


def test_weights_are_read_where_they_were_published(models: Path, checkpoint: Path) -> None:
    assert digest_file(models / "words/model.safetensors") == digest_file(checkpoint / "words/model.safetensors")
    places = [(each["location"], int(each["offset"])) for each in external(models, "words").values()]
    published = {offset for location, offset in places if location == "model.safetensors"}
    index = read_index(models / "words/model.safetensors")
    for name in ("table.weight", "inner.weight", "outer.weight", "bf16"):
        assert index[name].offset in published, name
    tied = [offset for location, offset in places if offset == index["table.weight"].offset]
    assert len(tied) >= 1


def test_external_data_have_relative_locations_beside_the_graph(models: Path) -> None:
    for component in ("words", "sound"):
        found = external(models, component)
        assert found
        assert {each["location"] for each in found.values()} <= {"model.safetensors", "constants.safetensors"}


def test_a_linear_weight_is_read_transposed(models: Path) -> None:
    graph = onnx.load(str(models / "words/model.onnx"), load_external_data=False).graph
    fused = [node for node in graph.node if node.op_type == "FusedMatMul"]
    assert len(fused) >= 3  # inner, outer, and the tied table as the last layer
    assert all(any(each.name == "transB" and each.i == 1 for each in node.attribute) for node in fused)


def test_graphs_hold_no_trace_of_the_machine(models: Path, exported: Path) -> None:
    graphs = [*models.rglob("*.onnx"), *exported.rglob("*.onnx")]
    assert len(graphs) == 4
    for path in graphs:
        data = path.read_bytes()
        for trace in (str(ROOT), sys.prefix, "site-packages", "export.py", "pkg.torch", "stack_trace"):
            assert trace.encode() not in data, (path, trace)


def test_reads_cover_every_external_tensor(models: Path, manifest: dict[str, Any]) -> None:
    for component in ("words", "sound"):
        reads = manifest["components"][component]["byte_ranges"]
        for each in external(models, component).values():
            begin = int(each["offset"])
            end = begin + int(each["length"])
            assert any(
                offset <= begin and end <= offset + length
                for offset, length in reads[f"{component}/{each['location']}"]
            )
        for path, ranges in reads.items():
            assert sum(ranges[-1]) <= (models / path).stat().st_size


def test_the_answer_is_the_frameworks(models: Path, checkpoint: Path) -> None:
    module = importlib.import_module("images.tiny.export").Words().eval()
    module.load_state_dict(load_file(checkpoint / "words/model.safetensors"))
    tokens = torch.randint(0, 96, (3, 11), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted = module(tokens).numpy()
    assert np.abs(scores(models / "words/model.onnx", tokens.numpy()) - wanted).max() < 1e-5


def test_a_copy_at_another_path_and_a_read_only_folder_open(models: Path, tmp_path: Path) -> None:
    tokens = np.arange(8).reshape(2, 4)
    wanted = scores(models / "words/model.onnx", tokens)
    copy = Path(shutil.copytree(models, tmp_path / "elsewhere"))
    for path in sorted(copy.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert np.array_equal(scores(copy / "words/model.onnx", tokens), wanted)
    # Root may write anywhere, so modes alone prove nothing: nothing must have been written either.
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_limits_and_tolerance_of_the_warm_up_need_no_new_export(
    checkpoint: Path, settings: StageSettings, models: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    export_image(settings, checkpoint, tmp_path / "exported")
    changed = replace(settings, warmup_tolerance=0.25, limits=replace(settings.limits, queue=3), fallback="error")
    compile_image(changed, tmp_path / "exported", models, tmp_path / "out")
    told = json.loads((tmp_path / "out/models/manifest.json").read_bytes())
    assert manifest["warmup"]["tolerance"] != told["warmup"]["tolerance"] == 0.25
    assert (told["limits"]["queue"], told["fallback"]) == (3, "error")
    assert told["components"] == manifest["components"]


def test_the_compile_key_follows_from_its_fields(manifest: dict[str, Any]) -> None:
    for component in manifest["components"].values():
        assert component["key"] == hashlib.sha256(canonical_json(component["key_inputs"])).hexdigest()
        assert component["key_inputs"]["versions"]["onnxruntime"] == ort.__version__


def test_two_bakes_in_other_processes_are_equal_byte_for_byte(
    checkpoint: Path, settings: StageSettings, models: Path, tmp_path: Path
) -> None:
    baked = run_stages(checkpoint, settings, tmp_path, seed="77")
    for path in sorted(each for each in baked.rglob("*") if each.is_file()):
        assert path.read_bytes() == (models / path.relative_to(baked)).read_bytes(), path


def test_a_stage_writes_an_event_for_each_component(exported: Path) -> None:
    lines = (exported / EVENTS_FILE).read_bytes().splitlines()
    events = {event.component: event for event in map(StageEvent.from_json, lines)}
    assert events.keys() == {"words", "sound"}
    for name, component in Exported.load(exported).components.items():
        assert events[name].event == COMPONENT_EXPORTED
        assert events[name].message.startswith("exported, ")
        assert events[name].figures == component.report


def run_stages(checkpoint: Path, settings: StageSettings, folder: Path, seed: str) -> Path:
    """Both commands, as the stages run them; gives the compile stage's ``out/models``."""
    (folder / "settings.json").write_bytes(settings.to_json())
    exported, final, out = folder / "exported", folder / "final", folder / "out"
    common = [sys.executable, "-m", "prebake.bake"]
    options = ["--settings", str(folder / "settings.json")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{TINY_IMAGES}", "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "2"}
    export = ["export", "--image", "tiny", *options, "--checkpoint", str(checkpoint), "--out", str(exported)]
    subprocess.run([*common, *export], check=True, env=environment, cwd=folder, capture_output=True)
    shutil.copytree(checkpoint / "words", final / "words")
    shutil.copytree(exported / "derived", final, dirs_exist_ok=True)
    compile_ = ["compile", *options, "--exported", str(exported), "--models", str(final), "--out", str(out)]
    probe = "import runpy, sys; sys.argv = sys.argv[1:]\ntry: runpy.run_module('prebake.bake', run_name='__main__')\n"
    probe += "except SystemExit as end: sys.exit(end.code or (3 if 'torch' in sys.modules else 0))"
    # Code 3: the compile stage, which has no torch, imported it.
    subprocess.run([common[0], "-c", probe, "bake", *compile_], check=True, env=environment, cwd=folder)
    return out / "models"


@pytest.mark.parametrize(
    "line", ["from prebake.bake.export import Bake", "from prebake.bake.authoring import rehearse"]
)
def test_an_exporter_of_another_prebake_is_told_the_import_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    (tmp_path / "former_export.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = StageSettings(
        image="tiny",
        module="m",
        target="cpu",
        checkpoint="s",
        model_revision="0" * 64,
        components={},
        exporter="former_export",
    )
    with pytest.raises(BakeError, match="imports a name that this version of Prebake does not have") as caught:
        export_image(settings, tmp_path, tmp_path / "out")
    assert "prebake.bake.authoring" in caught.value.next_action
