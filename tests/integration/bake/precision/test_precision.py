"""Components of another precision than fp32: what becomes of their weights, and how far their answers may go."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import load_file, save_file

from prebake.bake.errors import BakeError, ParityFailed
from prebake.bake.graphs.sessions import open_session
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.parity.compare import compare
from prebake.bake.stages.export import export_image
from prebake.bake.weights.safetensors_reader import read_index
from prebake.documents.canonical import digest_file
from prebake.documents.component import ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.repository import TINY_IMAGES

SMALL = TINY_IMAGES / "images" / "small"
BOUNDS = {"fp16": 0.002, "bf16": 0.02, "int8": 0.05, "int4": 0.2}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_image: None) -> Path:
    """The checkpoint, and that export.py is to give a calibration set."""
    make = importlib.import_module("images.small.export").make

    folder = tmp_path_factory.mktemp("small")
    for name in ("words", "sounds"):
        (folder / name).mkdir()
        save_file(make(name).state_dict(), folder / name / "model.safetensors")
    (folder / "calibrate").touch()
    return folder


def settings_of(checkpoint: Path, name: str, precision: Precision, target: str = "cpu") -> StageSettings:
    half = precision.type in ("fp16", "bf16")
    session = SessionSettings("basic" if half else "disable", prepack=precision.type == "int4")
    files = [] if precision.makes_weights else [f"{name}/model.safetensors"]
    return StageSettings(
        image="small",
        module="images.small.model",
        target=target,
        checkpoint="sample",
        model_revision="0" * 64,
        components={name: ComponentSettings(precision, session=session)},
        ship=shipped(checkpoint, files),
    )


Baked = tuple[Path, Mapping[str, Any]]


@pytest.fixture(scope="module")
def bake(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Baked]:
    made: dict[tuple[str, Precision], Baked] = {}

    def baked(name: str, precision: Precision, *, again: bool = False) -> Baked:
        if again or (name, precision) not in made:
            folder = tmp_path_factory.mktemp("baked") / "models"
            report = bake_folder("small", small, settings_of(small, name, precision), folder)
            made[name, precision] = (folder, report[name])
        return made[name, precision]

    return baked


def precision(kind: str, **more: Any) -> Precision:
    return Precision(kind, BOUNDS[kind], **more)


SCHEMES = {
    "fp16": ("words", precision("fp16")),
    "bf16": ("words", precision("bf16")),
    "int8 dynamic": ("words", precision("int8", reduce_range=False)),
    "int8 in seven bits": ("words", precision("int8")),
    "int8 by matrix": ("words", precision("int8", per_channel=False)),
    "int8 without tables": ("words", precision("int8", embeddings=False)),
    "int8 static": ("words", precision("int8", activations="static")),
    "int8 static convolutions": ("sounds", precision("int8", activations="static")),
    "int4": ("words", precision("int4")),
    "int4 symmetric": ("words", precision("int4", symmetric=True, block_size=16)),
}
NODES = {
    "int8 dynamic": {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"},
    "int8 static": {"MatMulIntegerToFloat"},
    "int8 static convolutions": {"QLinearConv"},
    "int4": {"MatMulNBits"},
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_makes_weights_smaller_and_tells_what_that_costs(bake: Callable[..., Baked], scheme: str) -> None:
    name, said = SCHEMES[scheme]
    models, report = bake(name, said)
    assert report["precision"] == said.type
    assert report["bound"] == said.max_relative_error
    weights, outputs = report["weights"], report["outputs"]
    least = {"fp16": 2, "bf16": 2, "int8": 2, "int4": 2} if "tables" not in scheme else {"int8": 1.2}
    assert weights["bytes_before"] >= 0.95 * least[said.type] * weights["bytes_after"]
    assert weights["bytes_after"] < (models / name / f"{name}.{said.type}.safetensors").stat().st_size
    assert sorted(path.name for path in (models / name).glob("*.safetensors")) == [f"{name}.{said.type}.safetensors"]
    for output in outputs.values():
        assert 0 <= output["relative_error"] <= said.max_relative_error
    y = outputs["scores" if name == "words" else "y"]
    assert y["relative_error"] > 0
    assert y["cosine_similarity"] > 0.97
    assert y["snr_db"] == pytest.approx(-20 * np.log10(y["relative_error"]), abs=0.01)
    assert y["difference"] > 0
    nodes = {node.op_type for node in onnx.load(str(models / name / "model.onnx"), load_external_data=False).graph.node}
    assert not NODES.get(scheme, set()) or nodes & NODES[scheme]


@pytest.mark.parametrize("scheme", ["bf16", "int8 dynamic", "int8 static convolutions", "int4"])
def test_the_same_inputs_give_the_same_bytes(bake: Callable[..., Baked], scheme: str) -> None:
    name, said = SCHEMES[scheme]
    folders = [bake(name, said)[0], bake(name, said, again=True)[0]]
    files = [{path.name: digest_file(path) for path in (folder / name).iterdir()} for folder in folders]
    assert files[0] == files[1]


def test_operators_are_counted(bake: Callable[..., Baked]) -> None:
    """The table is there twice: as it is looked up in, and as it is multiplied by."""
    assert bake(*SCHEMES["int8 dynamic"])[1]["weights"]["quantized"] == {"Gather": 1, "MatMul": 3}
    without = bake(*SCHEMES["int8 without tables"])[1]["weights"]
    assert (without["quantized"], without["left"]) == ({"MatMul": 3}, {"Gather": 1})
    sounds = bake("sounds", precision("int8"))[1]["weights"]  # dynamically, no convolution can be
    assert (sounds["quantized"], sounds["left"]) == ({"MatMul": 1}, {"Conv": 2})
    still = bake(*SCHEMES["int8 static convolutions"])[1]["weights"]
    assert (still["quantized"], still["left"]) == ({"Conv": 2, "MatMul": 1}, {})


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_half_precision_is_cast_once_as_the_graph_opens(bake: Callable[..., Baked], kind: str) -> None:
    models, _ = bake("words", precision(kind))
    manifest = json.loads((models / "manifest.json").read_bytes())
    component = manifest["components"]["words"]
    assert (component["precision"], component["session"]["optimize"]) == (kind, "basic")
    index = read_index(models / f"words/words.{kind}.safetensors")
    assert {region.dtype for region in index.values() if region.length > 2048} == {{"fp16": "F16"}.get(kind, "BF16")}
    casts = [
        node
        for node in onnx.load(str(models / "words/model.onnx"), load_external_data=False).graph.node
        if node.op_type == "Cast"
    ]
    assert len(casts) >= 4
    opened = models.parent / "opened.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(opened)
    ort.InferenceSession(str(models / "words/model.onnx"), options, providers=["CPUExecutionProvider"])
    assert "Cast" not in {node.op_type for node in onnx.load(str(opened)).graph.node}


def test_a_published_file_of_the_type_is_read_as_it_is(small: Path, tmp_path: Path) -> None:
    """Linear weights lie transposed in it, and a Cast stands between."""
    checkpoint = tmp_path / "checkpoint"
    (checkpoint / "words").mkdir(parents=True)
    tensors = {name: each.to(torch.bfloat16) for name, each in load_file(small / "words/model.safetensors").items()}
    save_file(tensors, checkpoint / "words/model.safetensors")
    said = Precision("bf16", 1e-5, derived=False)
    report = bake_folder("small", checkpoint, settings_of(checkpoint, "words", said), tmp_path / "models")["words"]
    assert sorted(path.name for path in (tmp_path / "models/words").iterdir()) == ["model.onnx", "model.safetensors"]
    assert digest_file(tmp_path / "models/words/model.safetensors") == digest_file(
        checkpoint / "words/model.safetensors"
    )
    assert report["exported"]["transposed"] >= 2
    assert report["compiled"]["left"] == 0
    assert report["outputs"]["scores"]["relative_error"] < 1e-5  # nothing was rounded that was not published so


def test_a_published_file_of_another_type_is_told(small: Path, tmp_path: Path) -> None:
    said = Precision("bf16", 0.1, derived=False)
    with pytest.raises(BakeError, match="no weight is exactly representable in bf16"):
        bake_folder("small", small, settings_of(small, "words", said), tmp_path / "models")


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_on_a_gpu_the_graph_itself_computes_in_it(small: Path, tmp_path: Path, kind: str) -> None:
    """What can be seen without one: types, and that fp16 answers within its bound by the CPU's inserted casts."""
    export_image(settings_of(small, "words", precision(kind), "cuda"), small, tmp_path / "exported")
    exported = Exported.load(tmp_path / "exported")
    folder = tmp_path / "models/words"
    folder.mkdir(parents=True)
    exported.derived_file(f"words/words.{kind}.safetensors").rename(folder / f"words.{kind}.safetensors")
    exported.graph("words").rename(folder / "model.onnx")
    graph = onnx.load(str(folder / "model.onnx"), load_external_data=False).graph
    half = onnx.TensorProto.FLOAT16 if kind == "fp16" else onnx.TensorProto.BFLOAT16
    assert {each.data_type for each in graph.initializer if each.external_data} == {half}
    assert [each.type.tensor_type.elem_type for each in graph.output] == [
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
    ]
    assert [each.type.tensor_type.elem_type for each in graph.input] == [onnx.TensorProto.INT64, onnx.TensorProto.FLOAT]
    if kind == "fp16":
        session = open_session(folder / "model.onnx", SessionSettings("basic"), ["CPUExecutionProvider"])
        found = compare("words", session, exported.cases("words"), 0.02, relative=True)
        assert all(each.passed for each in found if each.output == "scores"), found


def test_a_broken_bound_fails_the_bake_with_every_finding(small: Path, tmp_path: Path) -> None:
    said = Precision("int8", 1e-4)
    with pytest.raises(ParityFailed) as caught:
        bake_folder("small", small, settings_of(small, "words", said), tmp_path / "models")
    assert [problem.where for problem in caught.value.problems if "scores" in problem.where] == [
        "words, case 1, output 'scores'",
        "words, case 2, output 'scores'",
    ]
    assert "above the bound of 0.0001" in str(caught.value)
    assert "`max_relative_error`" in caught.value.next_action


def test_static_ranges_want_samples_and_say_so(small: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    (checkpoint / "words").mkdir(parents=True)
    (checkpoint / "words/model.safetensors").write_bytes((small / "words/model.safetensors").read_bytes())
    said = precision("int8", activations="static")
    with pytest.raises(BakeError, match="needs a calibration set") as caught:
        bake_folder("small", checkpoint, settings_of(checkpoint, "words", said), tmp_path / "models")
    assert "calibration: FILE.npz" in caught.value.next_action


@pytest.fixture
def npz() -> Iterator[Path]:
    path = SMALL / "samples.npz"
    yield path
    path.unlink(missing_ok=True)


def test_a_calibration_set_comes_from_the_images_folder(small: Path, tmp_path: Path, npz: Path) -> None:
    samples = importlib.import_module("images.small.export").cases("words", 1) * 4
    tokens, weight = (np.stack([each[name].numpy() for each in samples]) for name in ("tokens", "weight"))
    np.savez(npz, tokens=tokens, weight=weight)
    said = precision("int8", activations="static", calibration="samples.npz")
    report = bake_folder("small", small, settings_of(small, "words", said), tmp_path / "models")["words"]
    assert report["weights"]["quantized"]["MatMul"] == 3
    np.savez(npz, tokens=np.zeros((3, 2, 5), np.int64), weight=np.ones((4, 2, 1, 1), np.float32))
    with pytest.raises(BakeError, match="different numbers of samples"):
        bake_folder("small", small, settings_of(small, "words", said), tmp_path / "other")
    npz.write_bytes(b"no archive")
    with pytest.raises(BakeError, match=r"small/samples\.npz cannot be read"):
        bake_folder("small", small, settings_of(small, "words", said), tmp_path / "third")


def test_converted_weights_that_no_graph_reads_are_left_out(
    checkpoint: Path, settings: StageSettings, tmp_path: Path, tiny_image: None
) -> None:
    components = {
        **settings.components,
        "sound": ComponentSettings(precision("fp16"), session=SessionSettings("basic")),
    }
    bake_folder("tiny", checkpoint, replace(settings, components=components), tmp_path / "models")
    assert [path.name for path in (tmp_path / "models/sound").glob("*.safetensors")] == ["sound.fp16.safetensors"]
    assert (tmp_path / "models/words/model.safetensors").exists()


def test_weights_of_another_precision_come_in_files_of_a_bounded_size(small: Path, tmp_path: Path) -> None:
    said = settings_of(small, "words", precision("int8"))
    bake_folder("small", small, said, tmp_path / "models", shard=10_000)
    files = sorted(path.name for path in (tmp_path / "models/words").glob("words.int8*"))
    assert files[0].startswith("words.int8-00001-of-0000")
    assert files[-1] == "words.int8.safetensors.index.json"
    assert len(files) > 3
