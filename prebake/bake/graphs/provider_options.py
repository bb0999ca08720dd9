"""Options of ONNX Runtime's execution providers, as the manifest stores them and the container passes them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.bake.errors import BakeError

if TYPE_CHECKING:  # importing onnx_ir takes longer than all else that a process of a trial imports
    import onnx_ir as ir

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
TRT_TIMING_CACHE_ENABLE, TRT_TIMING_CACHE_PATH = "trt_timing_cache_enable", "trt_timing_cache_path"
"""Whether TensorRT saves its kernel timings, and the folder for them."""
TRT_WEIGHT_STRIPPED, TRT_ONNX_MODEL_FOLDER = "trt_weight_stripped_engine_enable", "trt_onnx_model_folder_path"
"""Whether engines are built without weights, and the folder of the graph and weights that they are refitted from."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShapeRange:
    """The smallest and largest shape of an input that an engine accepts, and the shape that it is optimized for."""

    minimum: Shape
    optimum: Shape
    maximum: Shape


@dataclass(frozen=True)
class GraphTraits:
    """Facts about a graph that its options depend on. ``static``: no input or output has a dynamic axis. ``profile``: accepted
    shapes by input."""

    component: str
    precision: str
    static: bool
    profile: Mapping[str, ShapeRange] = field(default_factory=dict)


Options = Mapping[str, str]


def has_static_shapes(model: ir.Model) -> bool:
    shapes = [value.shape for value in (*model.graph.inputs, *model.graph.outputs)]
    return all(shape is not None and all(isinstance(dim, int) for dim in shape) for shape in shapes)


def render_options(
    graph: GraphTraits, providers: tuple[str, ...], configured: Mapping[str, Options]
) -> dict[str, dict[str, str]]:
    """The options of each provider that has any. ``configured``: options of image.yaml, by target."""
    rendered = {
        CUDA: cuda_options(graph, configured.get("cuda", {})),
        TENSORRT: tensorrt_options(graph, configured.get("tensorrt", {})),
    }
    return {provider: rendered[provider] for provider in providers if provider in rendered}


def cuda_options(graph: GraphTraits, configured: Options) -> dict[str, str]:
    """Options for a fast first answer: cuDNN selects convolution algorithms heuristically instead of measuring all of them
    (12 s on a T4, onnxruntime #21541), memory grows as needed, and fp32 does not become TF32.

    Raises BakeError if CUDA graphs are enabled for a graph with a dynamic axis.
    """
    options = {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "enable_cuda_graph": "0",
        "use_tf32": "0" if graph.precision == "fp32" else "1",
        **configured,
    }
    _check_graph_capture(graph, options, "enable_cuda_graph")
    return options


def tensorrt_options(graph: GraphTraits, configured: Options) -> dict[str, str]:
    """Options for building and for opening an engine: precision, shape profile and the options of image.yaml."""
    options = {
        "trt_bf16_enable": str(int(graph.precision == "bf16")),
        "trt_fp16_enable": str(int(graph.precision == "fp16")),
        **_profile(graph.profile),
        **configured,
    }
    _check_graph_capture(graph, options, "trt_cuda_graph_enable")
    return options


def epcontext_options(target: Path, prefix: str) -> dict[str, str]:
    """Options that make TensorRT write an EPContext model to ``target``, and its engine to a file next to it whose name starts
    with ``prefix``.

    The engine's path has to be relative (onnxruntime #22131). Without a prefix its name does not depend on the weights.
    """
    return {
        "trt_dump_ep_context_model": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ".",
        "trt_engine_cache_prefix": prefix,
        "trt_ep_context_embed_mode": "0",
        "trt_ep_context_file_path": str(target),
    }


def _profile(profile: Mapping[str, ShapeRange]) -> dict[str, str]:
    """Each value has the form ``x:1x3x224x224,mask:1x77``."""
    if not profile:
        return {}
    return {
        "trt_profile_max_shapes": _format_shapes({name: shapes.maximum for name, shapes in profile.items()}),
        "trt_profile_min_shapes": _format_shapes({name: shapes.minimum for name, shapes in profile.items()}),
        "trt_profile_opt_shapes": _format_shapes({name: shapes.optimum for name, shapes in profile.items()}),
    }


def _format_shapes(shapes: Mapping[str, Shape]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in sorted(shapes.items()))


def _check_graph_capture(graph: GraphTraits, options: Options, name: str) -> None:
    if options.get(name) == "1" and not graph.static:
        raise BakeError(
            f"{graph.component}: {name} requires static shapes, and the graph has dynamic axes.",
            next_action=f"remove {name} from image.yaml, or export the component without dynamic axes",
        )
