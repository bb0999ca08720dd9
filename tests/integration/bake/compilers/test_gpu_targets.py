"""Images for a GPU, baked where there is none: graphs that any provider takes, compared by the CPU as far as it can compute."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from entrypoints.components.opener import Opener
from entrypoints.errors import CompiledElsewhere
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import OnnxComponent as Read
from entrypoints.processes.timeline import Timeline
from prebake.bake.errors import BakeError
from prebake.documents.canonical import digest_file
from prebake.documents.component import ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import StageSettings
from prebake.plan.stage_settings import PROVIDERS
from prebake.spec.image.image import Target
from tests.support.bake.host_bake import bake_folder

TARGETS: tuple[Target, ...] = ("cuda", "tensorrt")
HALF = StageSettings(
    image="small",
    module="images.small.model",
    target="cuda",
    checkpoint="sample",
    model_revision="0" * 64,
    components={},
)


def on(target: Target, settings: StageSettings, precision: Precision | None = None) -> StageSettings:
    own = ComponentSettings(precision or Precision(), PROVIDERS[target], SessionSettings("extended"))
    return replace(settings, target=target, components=dict.fromkeys(settings.components, own))


def operators(graph: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(graph), load_external_data=False).graph.node}


@pytest.fixture(scope="module", params=TARGETS)
def baked(
    request: pytest.FixtureRequest, checkpoint: Path, settings: StageSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """/models of the tiny image for a target of a GPU."""
    models = tmp_path_factory.mktemp("baked") / "models"
    bake_folder("tiny", checkpoint, on(request.param, settings), models)
    return models


def test_its_graphs_answer_as_the_framework_by_an_announced_cpu(baked: Path, checkpoint: Path) -> None:
    manifest, timeline = read_manifest(baked), Timeline()
    opener = Opener(baked, manifest, timeline, None)
    opener.start(1)
    tokens = torch.randint(0, 96, (3, 11), generator=torch.Generator().manual_seed(5))
    answer = opener.components.session("words").run({"tokens": tokens.numpy()})["scores"]
    words = importlib.import_module("images.tiny.export").Words().eval()
    words.load_state_dict(load_file(checkpoint / "words/model.safetensors"))
    with torch.no_grad():
        assert np.abs(answer - words(tokens).numpy()).max() < 1e-5
    opener.components.session("sound")
    told = {(each["component"], each["from"], each["to"]) for each in timeline.fallbacks}
    steps = ("cuda",) if manifest.target == "cuda" else ("tensorrt", "cuda")
    assert told == {(name, step, "cpu") for name in ("words", "sound") for step in steps}


def test_a_start_that_may_not_step_down_names_what_is_missing(baked: Path) -> None:
    opener = Opener(baked, read_manifest(baked), Timeline(), None, strict=True)
    opener.start(1)
    with pytest.raises(CompiledElsewhere, match=r"this ONNX Runtime has no (CUDA|Tensorrt)ExecutionProvider"):
        opener.components.session("words")


def test_nothing_in_them_is_the_cpus_and_weights_are_as_published(baked: Path, checkpoint: Path) -> None:
    assert digest_file(baked / "words/model.safetensors") == digest_file(checkpoint / "words/model.safetensors")
    manifest = read_manifest(baked)
    assert {"Gelu", "FusedMatMul" if manifest.target == "cuda" else "Transpose"} <= operators(
        baked / "words/model.onnx"
    )
    for component in manifest.components.values():
        assert isinstance(component, Read)
        assert component.session.optimize == "extended"  # by the provider that opens it


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_image: None) -> Path:
    folder = tmp_path_factory.mktemp("small")
    make: Any = importlib.import_module("images.small.export").make
    for name in ("words", "sounds"):
        (folder / name).mkdir()
        save_file(make(name).state_dict(), folder / name / "model.safetensors")
    return folder


def half(name: str, kind: str) -> StageSettings:
    return on("cuda", replace(HALF, components={name: ComponentSettings()}), Precision(kind, 0.05))


def test_fp16_stays_fp16_and_is_compared(small: Path, tmp_path: Path) -> None:
    """Opened by the CPU's optimizer it would hold its casts to fp32."""
    report = bake_folder("small", small, half("words", "fp16"), tmp_path / "models")["words"]
    assert report["parity"]
    assert "not_compared" not in report
    graph = onnx.load(str(tmp_path / "models/words/model.onnx"), load_external_data=False).graph
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert len(casts) == 2  # of the input, and of the output
    assert "Gelu" in {node.op_type for node in graph.node}


def test_what_no_cpu_computes_is_told_as_not_compared(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = bake_folder("small", small, half("words", "bf16"), tmp_path / "models")["words"]
    assert report["parity"] == []
    assert "NOT_IMPLEMENTED" in report["not_compared"]
    assert "words: compiled, not compared with the framework: " in capsys.readouterr().err


def test_a_graph_that_no_provider_opens_is_refused(small: Path, tmp_path: Path) -> None:
    """ONNX has no convolution of bf16 in the operators that graphs are exported to."""
    with pytest.raises(BakeError, match=r"sounds: ONNX Runtime cannot open the exported graph: .*bfloat16"):
        bake_folder("small", small, half("sounds", "bf16"), tmp_path / "models")
