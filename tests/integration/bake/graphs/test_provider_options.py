"""The options of GPU providers: names that ONNX Runtime knows, and values that follow from the component."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from prebake.bake.compilers.tensorrt import tensorrt_variant, tensorrt_variants
from prebake.bake.errors import BakeError
from prebake.bake.graphs.provider_options import (
    CUDA,
    TENSORRT,
    TRT_ONNX_MODEL_FOLDER,
    TRT_TIMING_CACHE_ENABLE,
    TRT_TIMING_CACHE_PATH,
    TRT_WEIGHT_STRIPPED,
    GraphTraits,
    ShapeRange,
    epcontext_options,
    render_options,
)
from prebake.errors import SpecInvalid
from prebake.spec.checks.multi_model_rules import pinned_version
from prebake.spec.image.provider_options import CudaOptions, TensorrtOptions
from prebake.spec.reader import parse_image
from tests.support.plans import SPEC
from tests.support.repository import ROOT

RECORDED = json.loads((ROOT / "tests/integration/bake/graphs/onnxruntime-gpu-options.json").read_text(encoding="utf-8"))
FREE = GraphTraits("net", "fp32", static=False)
PROFILE = {"x": ShapeRange((1, 3, 64), (2, 3, 64), (8, 3, 64)), "mask": ShapeRange((1, 8), (1, 8), (1, 77))}
PROVIDERS = (TENSORRT, CUDA, "CPUExecutionProvider")


def rendered_names() -> Mapping[str, set[str]]:
    every = render_options(GraphTraits("net", "bf16", static=True, profile=PROFILE), PROVIDERS, {})
    tensorrt = {
        *every[TENSORRT],
        *epcontext_options(Path("/models/compiled/net"), "net"),
        TRT_TIMING_CACHE_ENABLE,
        TRT_TIMING_CACHE_PATH,
        TRT_WEIGHT_STRIPPED,
        TRT_ONNX_MODEL_FOLDER,
    }
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
    assert render_options(FREE, PROVIDERS[1:], {"cuda": {"cudnn_conv_algo_search": "EXHAUSTIVE"}}) == {
        CUDA: {
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "enable_cuda_graph": "0",
            "use_tf32": "0",
        }
    }
    half = render_options(GraphTraits("net", "fp16", static=False, profile=PROFILE), PROVIDERS, {})
    assert half[CUDA]["use_tf32"] == "1"
    assert half[TENSORRT] == {
        "trt_bf16_enable": "0",
        "trt_fp16_enable": "1",
        "trt_profile_min_shapes": "mask:1x8,x:1x3x64",
        "trt_profile_opt_shapes": "mask:1x8,x:2x3x64",
        "trt_profile_max_shapes": "mask:1x77,x:8x3x64",
    }
    assert render_options(FREE, ("CPUExecutionProvider",), {}) == {}


@pytest.mark.parametrize(("target", "name"), [("cuda", "enable_cuda_graph"), ("tensorrt", "trt_cuda_graph_enable")])
def test_a_recorded_graph_has_fixed_shapes(target: str, name: str) -> None:
    said = {target: {name: "1"}}
    with pytest.raises(BakeError, match=f"net: {name} requires static shapes"):
        render_options(FREE, PROVIDERS, said)
    provider = CUDA if target == "cuda" else TENSORRT
    assert render_options(GraphTraits("net", "fp32", static=True), PROVIDERS, said)[provider][name] == "1"


def test_an_engine_is_bound_to_its_gpu_unless_it_is_made_for_several() -> None:
    facts = {
        "onnxruntime": "1.31.1",
        "device": "NVIDIA H200",
        "capability": "9.0",
        "driver": "13.2",
        "tensorrt": "10.16.1",
    }
    own = tensorrt_variant(FREE, {}, facts)
    assert own.requires == {name: facts[name] for name in ("onnxruntime", "device", "capability", "tensorrt")}
    assert own.minimum == {"driver": "13.2"}
    several = tensorrt_variant(FREE, {"trt_engine_hw_compatible": "1"}, facts)
    assert several.requires == {name: facts[name] for name in ("onnxruntime", "tensorrt")}
    assert several.minimum == {"driver": "13.2", "capability": "8.0"}


def spec_text(session: str) -> str:
    return f"{SPEC[: SPEC.index('components:')]}components: {{net: {{session: {session}}}, old: {{derived: true}}}}\n"


def test_image_yaml_says_them_under_their_own_names() -> None:
    spec = parse_image(spec_text("{cuda: {use_tf32: true, gpu_mem_limit: 1024}}"), "images/tiny/image.yaml")
    assert spec.components["net"].session.cuda.to_options() == {"use_tf32": "1", "gpu_mem_limit": "1024"}
    assert spec.components["old"].session.cuda.to_options() == {}


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
    whole, stripped = tensorrt_variants(FREE, {}, facts)
    assert (whole.refits, stripped.refits) == ("", TRT_ONNX_MODEL_FOLDER)
    assert stripped.serving[TRT_WEIGHT_STRIPPED] == "1"
    for said, refits in (("0", ""), ("1", TRT_ONNX_MODEL_FOLDER)):
        (only,) = tensorrt_variants(FREE, {TRT_WEIGHT_STRIPPED: said}, facts)
        assert only.refits == refits
    assert whole.cache is not None
    assert whole.cache.requires == {name: facts[name] for name in ("capability", "device", "tensorrt")}
    assert whole.requires.items() > whole.cache.requires.items()
