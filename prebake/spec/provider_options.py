"""What ``image.yaml`` may say of ONNX Runtime's GPU providers: their own options, under their own names."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ProviderOptions(BaseModel):
    """Strict and frozen. What is not given is as ``prebake.bake.provider_options`` has it, or the provider's own default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def said(self) -> dict[str, str]:
        """Those given, in the form that providers take: 1 and 0 for truth."""
        given = self.model_dump(exclude_none=True)
        return {name: str(int(value) if isinstance(value, bool) else value) for name, value in given.items()}


class CudaOptions(ProviderOptions):
    """Of ONNX Runtime's CUDA provider."""

    arena_extend_strategy: Literal["kNextPowerOfTwo", "kSameAsRequested"] | None = None
    cudnn_conv1d_pad_to_nc1d: bool | None = None
    cudnn_conv_algo_search: Literal["DEFAULT", "HEURISTIC", "EXHAUSTIVE"] | None = None
    cudnn_conv_use_max_workspace: bool | None = None
    do_copy_in_default_stream: bool | None = None
    enable_cuda_graph: bool | None = Field(
        default=None, description="Record the graph's kernels once and replay them; where all of its shapes are fixed"
    )
    fuse_conv_bias: bool | None = None
    gpu_mem_limit: int | None = Field(default=None, gt=0, description="Bytes of device memory for the arena")
    prefer_nhwc: bool | None = None
    sdpa_kernel: int | None = Field(default=None, ge=0)
    tunable_op_enable: bool | None = None
    tunable_op_tuning_enable: bool | None = None
    use_ep_level_unified_stream: bool | None = None
    use_tf32: bool | None = Field(default=None, description="Products of fp32 in TF32; off for components of fp32")


class TensorrtOptions(ProviderOptions):
    """Of ONNX Runtime's TensorRT provider; paths, profiles and precision follow from the component."""

    trt_auxiliary_streams: int | None = Field(default=None, ge=-1)
    trt_build_heuristics_enable: bool | None = None
    trt_builder_optimization_level: int | None = Field(default=None, ge=0, le=5)
    trt_context_memory_sharing_enable: bool | None = None
    trt_cuda_graph_enable: bool | None = Field(
        default=None, description="Record the engine's kernels once and replay them; where all of its shapes are fixed"
    )
    trt_engine_hw_compatible: bool | None = Field(
        default=None, description="One engine for Ampere and later, slower than one for the GPU that it is made on"
    )
    trt_force_sequential_engine_build: bool | None = None
    trt_layer_norm_fp32_fallback: bool | None = None
    trt_max_partition_iterations: int | None = Field(default=None, gt=0)
    trt_max_workspace_size: int | None = Field(default=None, gt=0, description="Bytes that a layer may work with")
    trt_min_subgraph_size: int | None = Field(default=None, gt=0)
    trt_op_types_to_exclude: str | None = None
    trt_preview_features: str | None = None
    trt_sparsity_enable: bool | None = None
    trt_tactic_sources: str | None = None
    trt_weight_stripped_engine_enable: bool | None = Field(
        default=None,
        description="Engines without weights, refitted from the image's at each start; not given: the better by measurement",
    )
