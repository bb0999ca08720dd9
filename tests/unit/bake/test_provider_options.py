"""The options of GPU providers: names that ONNX Runtime knows, and values that follow from the component."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from prebake.bake.engines import tensorrt_compiler, tensorrt_compilers
from prebake.bake.errors import BakeError
from prebake.bake.provider_options import (
    CUDA,
    REFITS,
    STRIPPED,
    TENSORRT,
    TIMED,
    TIMING,
    Graph,
    Range,
    dump_options,
    options_for,
)
from prebake.errors import SpecInvalid
from prebake.spec.members import pinned_version
from prebake.spec.provider_options import CudaOptions, TensorrtOptions
from prebake.spec.reading import parse_image
from tests.unit.plan.conftest import SPEC

ROOT = Path(__file__).parents[3]
RECORDED = json.loads((ROOT / "tests/golden/onnxruntime-gpu-options.json").read_text(encoding="utf-8"))
FREE = Graph("net", "fp32", fixed=False)
PROFILE = {"x": Range((1, 3, 64), (2, 3, 64), (8, 3, 64)), "mask": Range((1, 8), (1, 8), (1, 77))}
PROVIDERS = (TENSORRT, CUDA, "CPUExecutionProvider")


def rendered_names() -> Mapping[str, set[str]]:
    every = options_for(Graph("net", "bf16", fixed=True, profile=PROFILE), PROVIDERS, {})
    tensorrt = {*every[TENSORRT], *dump_options(Path("/models/compiled/net"), "net"), TIMED, TIMING, STRIPPED, REFITS}
    return {
        "cuda": {*every[CUDA], *CudaOptions.model_fields},
        "tensorrt": {*tensorrt, *TensorrtOptions.model_fields},
    }


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_every_name_is_in_the_binary_of_the_recorded_version(provider: str) -> None:
    assert rendered_names()[provider] <= set(RECORDED["options"][provider])


def test_the_recorded_version_is_the_one_that_images_serve_with() -> None:
    locks = [*ROOT.glob("images/*/requirements/cuda.txt"), *ROOT.glob("images/*/requirements/tensorrt.txt")]
    pinned = {pinned_version(path.read_text(encoding="utf-8"), "onnxruntime") for path in locks} - {None}
    assert pinned == {RECORDED["wheel"].split("-")[1]}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_every_name_is_in_the_installed_binary(provider: str) -> None:
    try:
        package = Path(str(metadata.distribution("onnxruntime-gpu").locate_file("")))
    except metadata.PackageNotFoundError:
        pytest.skip("onnxruntime-gpu is not installed here")
    tool = importlib.util.spec_from_file_location("provider_options", ROOT / "tools/provider_options.py")
    assert tool is not None
    assert tool.loader is not None
    module: Any = importlib.util.module_from_spec(tool)
    tool.loader.exec_module(module)
    assert rendered_names()[provider] <= set(module.find_names(package)[provider])


def test_options_follow_from_the_precision_and_what_is_said() -> None:
    assert options_for(FREE, PROVIDERS[1:], {"cuda": {"cudnn_conv_algo_search": "EXHAUSTIVE"}}) == {
        CUDA: {
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "enable_cuda_graph": "0",
            "use_tf32": "0",
        }
    }
    half = options_for(Graph("net", "fp16", fixed=False, profile=PROFILE), PROVIDERS, {})
    assert half[CUDA]["use_tf32"] == "1"
    assert half[TENSORRT] == {
        "trt_bf16_enable": "0",
        "trt_fp16_enable": "1",
        "trt_profile_min_shapes": "mask:1x8,x:1x3x64",
        "trt_profile_opt_shapes": "mask:1x8,x:2x3x64",
        "trt_profile_max_shapes": "mask:1x77,x:8x3x64",
    }
    assert options_for(FREE, ("CPUExecutionProvider",), {}) == {}


@pytest.mark.parametrize(("target", "name"), [("cuda", "enable_cuda_graph"), ("tensorrt", "trt_cuda_graph_enable")])
def test_a_recorded_graph_has_fixed_shapes(target: str, name: str) -> None:
    said = {target: {name: "1"}}
    with pytest.raises(BakeError, match=f"net: {name} .* shapes are free"):
        options_for(FREE, PROVIDERS, said)
    provider = CUDA if target == "cuda" else TENSORRT
    assert options_for(Graph("net", "fp32", fixed=True), PROVIDERS, said)[provider][name] == "1"


def test_an_engine_is_bound_to_its_gpu_unless_it_is_made_for_several() -> None:
    facts = {
        "onnxruntime": "1.31.1",
        "device": "NVIDIA H200",
        "capability": "9.0",
        "driver": "13.2",
        "tensorrt": "10.16.1",
    }
    own = tensorrt_compiler(FREE, {}, facts)
    assert own.fields == {name: facts[name] for name in ("onnxruntime", "device", "capability", "tensorrt")}
    assert own.least == {"driver": "13.2"}
    several = tensorrt_compiler(FREE, {"trt_engine_hw_compatible": "1"}, facts)
    assert several.fields == {name: facts[name] for name in ("onnxruntime", "tensorrt")}
    assert several.least == {"driver": "13.2", "capability": "8.0"}


def spec_text(session: str) -> str:
    return f"{SPEC[: SPEC.index('components:')]}components: {{net: {{session: {session}}}, old: {{derived: true}}}}\n"


def test_image_yaml_says_them_under_their_own_names() -> None:
    spec = parse_image(spec_text("{cuda: {use_tf32: true, gpu_mem_limit: 1024}}"), "images/tiny/image.yaml")
    assert spec.components["net"].session.cuda.said() == {"use_tf32": "1", "gpu_mem_limit": "1024"}
    assert spec.components["old"].session.cuda.said() == {}


def test_what_image_yaml_says_wrongly_is_told_at_once() -> None:
    session = (
        "{cuda: {use_tf23: true, cudnn_conv_algo_search: HEURISTICS}, tensorrt: {trt_builder_optimization_level: 9}}"
    )
    with pytest.raises(SpecInvalid) as caught:
        parse_image(spec_text(session), "images/tiny/image.yaml")
    said = "\n".join(f"{each.where} {each.what} {each.hint}" for each in caught.value.problems)
    assert "cuda.use_tf23 unknown key did you mean 'use_tf32'?" in said
    assert "did you mean 'HEURISTIC'?" in said
    assert "trt_builder_optimization_level" in said


def test_beside_the_whole_engine_one_without_weights_is_made_unless_image_yaml_says_which() -> None:
    facts = {"device": "NVIDIA H200", "capability": "9.0", "driver": "13.2", "tensorrt": "10.16.1", "cudnn": "9.13.1"}
    whole, stripped = tensorrt_compilers(FREE, {}, facts)
    assert (whole.refits, stripped.refits) == ("", REFITS)
    assert stripped.serving[STRIPPED] == "1"
    for said, refits in (("0", ""), ("1", REFITS)):
        (only,) = tensorrt_compilers(FREE, {STRIPPED: said}, facts)
        assert only.refits == refits
    assert whole.cache is not None
    assert whole.cache.fields == {name: facts[name] for name in ("capability", "device", "tensorrt")}
    assert whole.fields.items() > whole.cache.fields.items()
