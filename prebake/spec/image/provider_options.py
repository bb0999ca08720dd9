"""Options of ONNX Runtime's GPU execution providers in ``image.yaml``, under the providers' own names."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prebake.spec.image.strict_model import StrictModel


class ProviderOptions(StrictModel):
    """An option that is not given has the default of ``prebake.bake.graphs.provider_options``, or the provider's."""

    def to_options(self) -> dict[str, str]:
        """The given options as the provider takes them: text, with 1 and 0 for booleans."""
        given = self.model_dump(exclude_none=True)
        return {name: str(int(value) if isinstance(value, bool) else value) for name, value in given.items()}


class CudaOptions(ProviderOptions):
    """Options of the CUDA execution provider. An option that is not given has Prebake's default, or else the provider's."""

    arena_extend_strategy: Literal["kNextPowerOfTwo", "kSameAsRequested"] | None = Field(
        default=None, description="How the arena of device memory grows; Prebake sets kSameAsRequested"
    )
    cudnn_conv1d_pad_to_nc1d: bool | None = Field(
        default=None, description="Pad the input of a 1-d convolution to [N, C, 1, D] instead of [N, C, D, 1]"
    )
    cudnn_conv_algo_search: Literal["DEFAULT", "HEURISTIC", "EXHAUSTIVE"] | None = Field(
        default=None,
        description="How cuDNN chooses convolution algorithms; Prebake sets HEURISTIC, for a fast first answer",
    )
    cudnn_conv_use_max_workspace: bool | None = Field(
        default=None, description="Let convolutions use as much workspace as their algorithms can"
    )
    do_copy_in_default_stream: bool | None = Field(
        default=None, description="Copy between host and device in the default stream"
    )
    enable_cuda_graph: bool | None = Field(
        default=None, description="Record the graph's kernels once and replay them; for graphs with fixed shapes only"
    )
    fuse_conv_bias: bool | None = Field(default=None, description="Fuse the bias into convolutions")
    gpu_mem_limit: int | None = Field(
        default=None, gt=0, description="The largest size of the arena, in bytes of device memory"
    )
    prefer_nhwc: bool | None = Field(default=None, description="Prefer kernels for the layout NHWC")
    sdpa_kernel: int | None = Field(
        default=None, ge=0, description="A bit mask of the attention kernels that may be used"
    )
    tunable_op_enable: bool | None = Field(default=None, description="Use TunableOp")
    tunable_op_tuning_enable: bool | None = Field(default=None, description="Let TunableOp measure kernels at run time")
    use_ep_level_unified_stream: bool | None = Field(
        default=None, description="Use one CUDA stream for all threads of the provider"
    )
    use_tf32: bool | None = Field(
        default=None,
        description="Compute fp32 products in TF32; Prebake turns it off for fp32 components, and on for others",
    )


class TensorrtOptions(ProviderOptions):
    """Options of the TensorRT execution provider. Paths, profiles and precision follow from the component. An option that is not
    given has Prebake's default, or else the provider's."""

    trt_auxiliary_streams: int | None = Field(
        default=None, ge=-1, description="The number of auxiliary streams for each stream; -1: TensorRT chooses"
    )
    trt_build_heuristics_enable: bool | None = Field(
        default=None, description="Build engines with heuristics, which is faster than measuring every kernel"
    )
    trt_builder_optimization_level: int | None = Field(
        default=None, ge=0, le=5, description="How long TensorRT searches for kernels while it builds an engine"
    )
    trt_context_memory_sharing_enable: bool | None = Field(
        default=None, description="Share execution memory between the engines of a graph"
    )
    trt_cuda_graph_enable: bool | None = Field(
        default=None, description="Record the engine's kernels once and replay them; for graphs with fixed shapes only"
    )
    trt_engine_hw_compatible: bool | None = Field(
        default=None, description="One engine for Ampere and later GPUs, slower than an engine for one GPU"
    )
    trt_force_sequential_engine_build: bool | None = Field(
        default=None, description="Build the engines of several GPUs one after the other"
    )
    trt_layer_norm_fp32_fallback: bool | None = Field(
        default=None, description="Compute Pow and Reduce of layer norms in fp32"
    )
    trt_max_partition_iterations: int | None = Field(
        default=None, gt=0, description="The largest number of attempts to divide the graph between providers"
    )
    trt_max_workspace_size: int | None = Field(
        default=None, gt=0, description="The largest workspace of a layer, in bytes"
    )
    trt_min_subgraph_size: int | None = Field(
        default=None, gt=0, description="The smallest number of nodes that TensorRT takes as a subgraph"
    )
    trt_op_types_to_exclude: str | None = Field(
        default=None, description="Operators that TensorRT does not take, separated by commas"
    )
    trt_preview_features: str | None = Field(
        default=None, description="Preview features of TensorRT to enable, separated by commas"
    )
    trt_sparsity_enable: bool | None = Field(default=None, description="Let TensorRT use the sparsity of weights")
    trt_tactic_sources: str | None = Field(
        default=None, description="Tactic sources to add (+NAME) or remove (-NAME), separated by commas"
    )
    trt_weight_stripped_engine_enable: bool | None = Field(
        default=None,
        description="Engines without weights, refitted from the image's at each start; by default the faster one is measured",
    )
