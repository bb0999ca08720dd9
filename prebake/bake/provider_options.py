"""The options that a component's providers are given, written into the manifest as the container passes them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from prebake.bake.errors import BakeError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
TIMED, TIMING = "trt_timing_cache_enable", "trt_timing_cache_path"
"""Whether TensorRT keeps what it measured of kernels, and the folder that it keeps it in."""
STRIPPED, REFITS = "trt_weight_stripped_engine_enable", "trt_onnx_model_folder_path"
"""Whether engines are made without weights, and the folder of the graph and weights that they are refitted from."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Range:
    """The shapes of one input that an engine takes, and the one that it is made best for."""

    minimum: Shape
    optimum: Shape
    maximum: Shape


@dataclass(frozen=True)
class Graph:
    """What options follow from. ``fixed``: every length of inputs and outputs is a number. ``profile``: by input."""

    component: str
    precision: str
    fixed: bool
    profile: Mapping[str, Range] = field(default_factory=dict)


Options = Mapping[str, str]


def is_fixed(model: ir.Model) -> bool:
    shapes = [value.shape for value in (*model.graph.inputs, *model.graph.outputs)]
    return all(shape is not None and all(isinstance(each, int) for each in shape) for shape in shapes)


def options_for(graph: Graph, providers: tuple[str, ...], said: Mapping[str, Options]) -> dict[str, dict[str, str]]:
    """By provider, those that have any. ``said``: image.yaml's, by the target that they are named under."""
    rendered = {
        CUDA: cuda_options(graph, said.get("cuda", {})),
        TENSORRT: tensorrt_options(graph, said.get("tensorrt", {})),
    }
    return {provider: rendered[provider] for provider in providers if provider in rendered}


def cuda_options(graph: Graph, said: Options) -> dict[str, str]:
    """For the first answer: convolutions are chosen by rule, not by trying all (12 s on a T4, onnxruntime #21541), memory
    is taken as it is needed, and fp32 stays fp32.

    Raises BakeError where a CUDA graph is asked for and a shape is free.
    """
    options = {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "enable_cuda_graph": "0",
        "use_tf32": "0" if graph.precision == "fp32" else "1",
        **said,
    }
    _check_recorded(graph, options, "enable_cuda_graph")
    return options


def tensorrt_options(graph: Graph, said: Options) -> dict[str, str]:
    """What an engine is made with and opened with alike: precision, profile, and what image.yaml says."""
    options = {
        "trt_bf16_enable": str(int(graph.precision == "bf16")),
        "trt_fp16_enable": str(int(graph.precision == "fp16")),
        **_profile(graph.profile),
        **said,
    }
    _check_recorded(graph, options, "trt_cuda_graph_enable")
    return options


def dump_options(target: Path, prefix: str) -> dict[str, str]:
    """How TensorRT leaves an EPContext model at ``target``, its engine beside it under a name that ``prefix`` begins.

    The engine's path has to be relative (onnxruntime #22131), and its name says nothing of the weights by itself.
    """
    return {
        "trt_dump_ep_context_model": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ".",
        "trt_engine_cache_prefix": prefix,
        "trt_ep_context_embed_mode": "0",
        "trt_ep_context_file_path": str(target),
    }


def _profile(profile: Mapping[str, Range]) -> dict[str, str]:
    """Each as ``x:1x3x224x224,mask:1x77``."""
    if not profile:
        return {}
    return {
        "trt_profile_max_shapes": _shapes({name: each.maximum for name, each in profile.items()}),
        "trt_profile_min_shapes": _shapes({name: each.minimum for name, each in profile.items()}),
        "trt_profile_opt_shapes": _shapes({name: each.optimum for name, each in profile.items()}),
    }


def _shapes(shapes: Mapping[str, Shape]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in sorted(shapes.items()))


def _check_recorded(graph: Graph, options: Options, name: str) -> None:
    if options.get(name) == "1" and not graph.fixed:
        raise BakeError(
            f"{graph.component}: {name} replays what was recorded for one shape, and the graph's shapes are free.",
            next_action="Drop it from image.yaml, or export the component without dynamic axes.",
        )
