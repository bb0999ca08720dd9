"""What an answer may differ by follows from the output and from the framework, and not from one processor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, save_model
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from prebake.bake.authoring import Bake
from prebake.bake.errors import ParityFailed
from prebake.bake.importers.torch_reference import run_in_float64
from prebake.bake.parity.tolerances import ToleranceBasis, find_tolerance_bases
from prebake.bake.parity.warmup_tolerance import derive_warmup_tolerance
from prebake.bake.precision.quantization_error import run_shifted
from prebake.bake.stages.compile_graphs import compile_image
from prebake.documents.component import ComponentSettings, Precision
from prebake.documents.settings import REPORT, StageSettings
from tests.support.bake.host_bake import bake_folder
from tests.support.models.eight_bits import write_published

CASES = [{"x": torch.linspace(-1, 1, 3 * n).reshape(n, 3)} for n in (2, 4)]


class Loud(torch.nn.Module):
    """Its numbers are some thousands, and sums of many products; ``shift`` is what it is wrong by."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in ((3, 512), (512, 512), (512, 8))))
        self.shift = shift
        with torch.no_grad():
            for each in self.layers.parameters():
                each.mul_(20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.layers(x)
        return answer + self.shift * answer.abs().max()


def export(bake: Bake, module: torch.nn.Module) -> None:
    bake.graph("c", module.eval(), CASES, ["y"], {"x": {0: "rows"}})
    bake.reference({}, b"", "text/plain")
    bake.finish()


@pytest.fixture
def component(settings: StageSettings) -> StageSettings:
    return replace(settings, ship=(), components={"c": ComponentSettings()})


def report_of(settings: StageSettings, folder: Path) -> Any:
    compile_image(settings, folder / "exported", folder / "models", folder / "out")
    return json.loads((folder / "out" / REPORT).read_bytes())["c"]


def test_large_numbers_may_differ_by_more_and_the_report_says_why(component: StageSettings, tmp_path: Path) -> None:
    export(Bake(component, tmp_path, tmp_path / "exported"), Loud())
    found = report_of(component, tmp_path)
    told = found["allowances"]["y"]
    wide = Loud().double().eval()
    with torch.no_grad():
        exact = [wide(case["x"].double()) for case in CASES]
        rounded = [Loud().eval()(case["x"]) for case in CASES]
    error = max(float((a - b).abs().max()) for a, b in zip(exact, rounded, strict=True))
    scale = max(float(each.abs().max()) for each in rounded)
    assert told["scale"] == pytest.approx(scale)
    assert told["framework_error"] == pytest.approx(error, rel=0.5)  # torch need not round alike each time
    assert found["tolerance"]["y"] == told["tolerance"] == pytest.approx(1e-4 * scale + 8 * told["framework_error"])
    assert scale > 1000


def test_a_wrong_graph_is_refused_and_both_are_told(component: StageSettings, tmp_path: Path) -> None:
    export(Bake(component, tmp_path, tmp_path / "exported"), Loud())
    export(Bake(component, tmp_path, tmp_path / "other"), Loud(shift=1e-3))
    (tmp_path / "other/cases").rename(tmp_path / "cases")
    for number in (0, 1):
        (tmp_path / f"cases/c/{number}.safetensors").replace(tmp_path / f"exported/cases/c/{number}.safetensors")
    with pytest.raises(
        ParityFailed, match=r"of the output's largest number .* times the framework's rounding error"
    ) as caught:
        report_of(component, tmp_path)
    assert "precision: {type: fp32, max_relative_error:" in caught.value.next_action


def test_a_bound_of_image_yaml_takes_its_place(component: StageSettings, tmp_path: Path) -> None:
    export(Bake(component, tmp_path, tmp_path / "exported"), Loud())
    for bound, passes in ((1e-9, False), (1e-3, True)):
        said = replace(component, components={"c": ComponentSettings(Precision(max_relative_error=bound))})
        if passes:
            assert report_of(said, tmp_path)["bound"] == bound
        else:
            with pytest.raises(ParityFailed, match="has a relative error of"):
                report_of(said, tmp_path)


def test_small_numbers_may_differ_by_less() -> None:
    """1e-4, which was allowed whatever an output is like, would be a hundredth of this one."""
    answers = [{"y": np.array([0.01, -0.003], np.float32)}]
    exact = [{"y": np.array([0.01 + 1e-9, -0.003])}]
    assert find_tolerance_bases(answers, exact)["y"].tolerance == pytest.approx(1e-6 + 8e-9, rel=0.1)


def test_an_output_that_jumps_is_not_allowed_everything() -> None:
    answers, far = [{"y": np.array([1.0], np.float32)}], [{"y": np.array([3.0])}]
    assert find_tolerance_bases(answers, far)["y"].tolerance == pytest.approx(0.01 + 1e-4)
    assert find_tolerance_bases(answers, shifted=far)["y"].tolerance == pytest.approx(0.25 + 1e-4)


@pytest.mark.parametrize("exact", [[], [None], [{"y": np.array([np.nan])}]])
def test_without_float64_the_scale_counts_alone(exact: list[Any]) -> None:
    found = find_tolerance_bases([{"y": np.array([0.5], np.float32)}], exact)["y"]
    assert (found.framework_error, found.tolerance) == (None, 1e-4)


def test_whole_numbers_are_equal_unless_a_quantization_step_moves_them() -> None:
    answers = [{"y": np.array([200, 7], np.uint8)}]
    assert find_tolerance_bases(answers)["y"].tolerance < 1
    assert find_tolerance_bases(answers, shifted=[{"y": np.array([199, 7], np.uint8)}])["y"].tolerance // 1 == 1


class Mixed(torch.nn.Module):
    def __init__(self, constant: torch.Tensor) -> None:
        super().__init__()
        self.constant = constant  # no buffer, so that it stays as it is
        self.weight = torch.nn.Parameter(torch.tensor([[0.1]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.weight) @ self.constant


def test_float64_is_that_of_every_parameter_and_buffer() -> None:
    module = torch.nn.BatchNorm1d(1).eval()
    with torch.no_grad():
        module.running_mean.fill_(0.1)  # type: ignore[union-attr]
    found = run_in_float64(module, {"input": torch.tensor([[0.7]])}, ["y"])
    wanted = (float(np.float32(0.7)) - float(np.float32(0.1))) / np.sqrt(1 + 1e-5)
    assert found is not None
    assert abs(found["y"].item() - wanted) < 1e-15


def test_a_module_that_holds_fp32_elsewhere_has_no_float64() -> None:
    assert run_in_float64(Mixed(torch.ones(1, 1)), {"x": torch.ones(1, 1)}, ["y"]) is None
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize(
    ("answer", "media_type", "wanted"),
    [
        (b'{"scores": [0.5, -4.0], "ids": [30522], "name": "x"}', "application/json", 4e-2),
        (b'{"ids": [30522]}', "application/json", 1e-2),
        (b"RIFF", "audio/wav", 1e-2),
    ],
)
def test_the_answer_may_be_off_by_the_share_of_the_graphs(answer: bytes, media_type: str, wanted: float) -> None:
    outputs = [[ToleranceBasis(10.0, 0.0124875), ToleranceBasis(0.0)], [ToleranceBasis(5.0, 0.0)]]
    assert derive_warmup_tolerance(answer, media_type, outputs) == pytest.approx(wanted, rel=0.02)


def settings_of(precision: Precision = Precision()) -> StageSettings:  # noqa: B008 (frozen)
    return StageSettings(
        image="plain",
        module="entrypoints.model.tensor_model",
        exporter="prebake.bake.stages.export_published",
        target="cpu",
        checkpoint="local",
        model_revision="0" * 64,
        components={"net": ComponentSettings(precision, onnx="model.onnx")},
    )


@pytest.mark.parametrize("network", ["products", "convolutions"])
@pytest.mark.parametrize("form", ["u8s8", "s8s8", "u8u8", "dynamic", "bytes"])
def test_a_published_graph_in_8_bits_passes_within_its_own_steps(tmp_path: Path, network: str, form: str) -> None:
    """Integer kernels and emulated floats differ by whole quantization steps, on every processor."""
    if (network, form) == ("convolutions", "dynamic"):
        pytest.skip("ONNX Runtime has no kernel for the ConvInteger of signed weights")
    (tmp_path / "checkpoint").mkdir()
    write_published(tmp_path / "checkpoint/model.onnx", network, form)
    report = bake_folder("plain", tmp_path / "checkpoint", settings_of(), tmp_path / "models")["net"]
    told = report["allowances"]["y"]
    assert 0 < told["step"] < 32 if form == "bytes" else 0 < told["step"] < 0.2 * told["scale"]
    manifest = json.loads((tmp_path / "models/manifest.json").read_bytes())
    assert manifest["warmup"]["tolerance"] == report["tolerance"]["y"]


@pytest.mark.parametrize(("number", "moves"), [(0.71, 0.0), (0.74, 0.1), (0.73, 0.1), (0.77, 0.1), (0.79, 0.0)])
def test_a_step_is_counted_within_a_quarter_of_its_edge(tmp_path: Path, number: float, moves: float) -> None:
    """Steps of 0.1, whose edges are at 0.65 and 0.75."""
    constants = [from_array(np.array(0.1, np.float32), "s"), from_array(np.array(0, np.uint8), "z")]
    nodes = [make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), make_node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    values = [make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = make_graph(nodes, "steps", values[:1], values[1:], constants)
    save_model(make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=9), str(tmp_path / "model.onnx"))
    inputs = [{"x": np.array([number], np.float32)}]
    answers = [{"y": np.array([round(number * 10) / 10], np.float32)}]
    assert find_tolerance_bases(answers, shifted=run_shifted(tmp_path / "model.onnx", inputs))[
        "y"
    ].step == pytest.approx(moves, abs=1e-6)
