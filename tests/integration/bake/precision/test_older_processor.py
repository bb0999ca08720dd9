"""What is baked here answers the same on a processor with AVX2 and without VNNI, and can be baked there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from prebake.bake.graphs.int8_saturation import INT8_OPERATORS, find_saturating_nodes
from prebake.bake.graphs.onnx_files import load
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.parity.metrics import measure_error
from prebake.bake.stages.export import export_image
from prebake.bake.weights.numpy_arrays import read_arrays, write_arrays
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import REPORT, StageSettings
from prebake.io import subprocesses
from tests.support.bake.host_bake import compile_folder
from tests.support.collection.sampled import sampled
from tests.support.models.eight_bits import make_input, share_constants, write_operator, write_published
from tests.support.processes.older_processor import OlderProcessor, older_processor
from tests.support.repository import ROOT, TINY_IMAGES

ANSWERS = TINY_IMAGES / "answers.py"
PUBLISHED = [("products", "u8s8"), ("products", "dynamic"), ("convolutions", "u8s8"), ("convolutions", "s8s8")]
Answers = Mapping[str, Any]


@pytest.fixture(scope="module")
def older() -> Iterator[OlderProcessor]:
    with older_processor() as processor:
        yield processor


def settings_of(name: str) -> StageSettings:
    return StageSettings(
        image="plain",
        module="entrypoints.model.tensor_model",
        exporter="prebake.bake.stages.export_published",
        target="cpu",
        checkpoint="local",
        model_revision="0" * 64,
        components={name: ComponentSettings(onnx="model.onnx")},
    )


def bake_and_answer(older: OlderProcessor, folder: Path) -> tuple[Answers, Any, Any]:
    """The report of ``checkpoint/model.onnx`` that was baked here, what it answers as published, and what the older processor
    answers."""
    export_image(settings_of("net"), folder / "checkpoint", folder / "exported")
    exported = Exported.load(folder / "exported")
    (folder / "models").mkdir()
    report = compile_folder(settings_of("net"), folder / "checkpoint", folder / "exported", folder / "models")["net"]
    older.python(ANSWERS, folder / "models", exported.case("net", 0), folder / "older.safetensors")
    return report, exported.cases("net")[0].outputs["y"], read_arrays(folder / "older.safetensors")["y"]


def compile_there(
    older: OlderProcessor, settings: StageSettings, exported: Path, folder: Path, *published: Path
) -> Mapping[str, Any]:
    """Run the compile stage on the older processor, over the folders ``published`` and what the export derived: its report."""
    (folder / "settings.json").write_bytes(settings.to_json())
    models = folder / "models"
    for each in published:
        shutil.copytree(each, models / each.name)
    shutil.copytree(exported / "derived", models, dirs_exist_ok=True)
    words = ("compile", "--settings", folder / "settings.json", "--exported", exported, "--models", models)
    older.python("-m", "prebake.bake", *words, "--out", folder / "out")
    report: Mapping[str, Any] = json.loads((folder / "out" / REPORT).read_bytes())
    return report


@pytest.fixture(scope="module")
def operators(older: OlderProcessor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """The folder of graphs of one operator each, and what the older processor answers."""
    folder = tmp_path_factory.mktemp("operators")
    (folder / "graphs").mkdir()
    for name in INT8_OPERATORS:
        write_operator(folder / f"graphs/{name}.onnx", name, signed=True)
    given = {path.stem: make_input(path)["x"] for path in (folder / "graphs").glob("*.onnx")}
    write_arrays(folder / "inputs.safetensors", given)
    older.python(ANSWERS, folder / "graphs", folder / "inputs.safetensors", folder / "older.safetensors")
    return folder, read_arrays(folder / "older.safetensors")


@pytest.mark.parametrize("operator", INT8_OPERATORS)
def test_each_operator_that_is_listed_saturates_there_and_is_exact_if_asked(
    operators: tuple[Path, Answers], operator: str
) -> None:
    """The right answer comes from unsigned weights of the same numbers, whose products saturate nowhere."""
    folder, answers = operators
    unsigned = write_operator(folder / f"{operator}.unsigned.onnx", operator, signed=False)
    (wanted,) = ort.InferenceSession(str(unsigned), providers=["CPUExecutionProvider"]).run(None, make_input(unsigned))
    exact, plain = (answers[f"{operator} {how}"].astype(np.float64) for how in ("exact", "plain"))
    assert answers["saturates"]
    np.testing.assert_allclose(exact, wanted, rtol=0, atol=1e-5 * np.abs(wanted.astype(np.float64)).max())
    assert np.abs(plain - wanted).max() > 0.05 * np.abs(wanted.astype(np.float64)).max()


@pytest.mark.parametrize("operator", INT8_OPERATORS)
@pytest.mark.parametrize(("signed", "bits", "found"), [(True, 8, True), (True, 7, False), (False, 8, False)])
def test_what_may_saturate_is_found_in_the_graph(
    tmp_path: Path, operator: str, signed: bool, bits: int, found: bool
) -> None:
    graph = write_operator(tmp_path / "model.onnx", operator, signed=signed, bits=bits)
    assert bool(find_saturating_nodes(load(graph)).avoidable) is found
    assert not find_saturating_nodes(load(graph)).unavoidable


def test_what_cannot_be_made_exact_is_named(tmp_path: Path) -> None:
    """Signed numbers that are no constants."""
    path = write_operator(tmp_path / "model.onnx", "MatMulInteger", signed=True)
    model = onnx.load(str(path))
    (weight,) = (each for each in model.graph.initializer if each.name == "w")
    model.graph.initializer.remove(weight)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.INT8, weight.dims))
    onnx.save(model, str(path))
    found = find_saturating_nodes(load(path))
    assert (found.avoidable, found.unavoidable) == ((), ("MatMulInteger of 'y'",))
    assert "8-bit products of MatMulInteger of 'y' saturate on x86 processors without VNNI" in str(found)


def test_nothing_is_asked_of_onnx_runtime_that_it_refuses(tmp_path: Path) -> None:
    """It opens no QLinearMatMul of two signed inputs with exact kernels, so that a product beside one saturates, and is named."""
    path = write_operator(tmp_path / "model.onnx", "MatMulInteger", signed=True)
    model = onnx.load(str(path))
    constants: Answers = {"s": np.array(0.01, np.float32), "z": np.array(0, np.int8)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(each, name) for name, each in constants.items())
    names = ["signed", "s", "z", "w", "s", "z", "s", "z"]
    model.graph.node.append(onnx.helper.make_node("QLinearMatMul", names, ["second"]))
    model.graph.input.append(onnx.helper.make_tensor_value_info("signed", onnx.TensorProto.INT8, [4, 64]))
    onnx.save(model, str(path))
    found = find_saturating_nodes(load(path))
    assert (found.avoidable, found.unavoidable) == ((), ("MatMulInteger of 'y'",))


def test_products_that_share_constants_are_exact_there_too(older: OlderProcessor, tmp_path: Path) -> None:
    """ONNX Runtime opens no such graph with exact kernels."""
    (tmp_path / "checkpoint").mkdir()
    share_constants(write_operator(tmp_path / "checkpoint/model.onnx", "MatMulIntegerToFloat", signed=True))
    _, wanted, got = bake_and_answer(older, tmp_path)
    assert measure_error(wanted, got).relative < 1e-6


@pytest.mark.parametrize(("network", "form"), PUBLISHED)
def test_a_published_graph_in_8_bits_is_proved_here_and_answers_so_there(
    older: OlderProcessor, tmp_path: Path, network: str, form: str
) -> None:
    (tmp_path / "checkpoint").mkdir()
    write_published(tmp_path / "checkpoint/model.onnx", network, form)
    report, wanted, got = bake_and_answer(older, tmp_path)
    assert measure_error(wanted, got).difference <= report["tolerance"]["y"]
    assert report["allowances"]["y"]["step"] > 0
    assert form == "s8s8" or report["saturates"]["avoidable"]


@pytest.mark.parametrize("form", ["u8s8", "dynamic"])
def test_a_published_graph_in_8_bits_is_compiled_and_compared_there(
    older: OlderProcessor, tmp_path: Path, form: str
) -> None:
    (tmp_path / "checkpoint").mkdir()
    write_published(tmp_path / "checkpoint/model.onnx", "products", form)
    export_image(settings_of("net"), tmp_path / "checkpoint", tmp_path / "exported")
    report = compile_there(older, settings_of("net"), tmp_path / "exported", tmp_path)["net"]
    assert report["outputs"]["y"]["difference"] <= report["tolerance"]["y"]
    assert report["saturates"]["avoidable"]


def test_a_network_is_compiled_and_compared_there(
    older: OlderProcessor, checkpoint: Path, settings: StageSettings, exported: Path, tmp_path: Path
) -> None:
    """The framework's answers come from here, and the compile stage runs there: in fp32, with the derived tolerances."""
    report = compile_there(older, settings, exported, tmp_path, checkpoint / "words")
    assert report.keys() == {"words", "sound"}


KERNELS = {
    "without AVX": {"ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "with AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
"""torch's own kernels, oneDNN's and MKL's; numpy has OpenBLAS."""


@pytest.mark.parametrize("kernels", sampled(KERNELS, "with AVX2"))
def test_the_framework_may_have_computed_with_other_kernels(
    checkpoint: Path, settings: StageSettings, tmp_path: Path, kernels: str
) -> None:
    """It exported with those of an older processor, and the graph is compared with it by this one's."""
    said = replace(settings, exporter="images.tiny.export")
    (tmp_path / "settings.json").write_bytes(said.to_json())
    words: list[str | Path] = [
        "--settings",
        tmp_path / "settings.json",
        "--checkpoint",
        checkpoint,
        "--out",
        tmp_path / "exported",
    ]
    paths = f"{ROOT}:{TINY_IMAGES}"
    subprocesses.run(
        [sys.executable, "-m", "prebake.bake", "export", "--image", "tiny", *words],
        cwd=tmp_path,
        env={**os.environ, **KERNELS[kernels], "OPENBLAS_CORETYPE": "Haswell", "PYTHONPATH": paths},
        timeout=300,
    )
    (tmp_path / "models").mkdir()
    report = compile_folder(said, checkpoint, tmp_path / "exported", tmp_path / "models")
    for component in report.values():
        for output, told in component["outputs"].items():
            assert told["difference"] <= component["tolerance"][output]
