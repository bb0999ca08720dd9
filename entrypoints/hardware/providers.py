"""Names of ONNX Runtime's execution providers: the one table of them."""

from __future__ import annotations

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

SHORT_NAMES = {TENSORRT: "tensorrt", CUDA: "cuda", CPU: "cpu"}
"""The name in reports, metrics and logs of a graph that a provider opens as it was published."""
GPU_PROVIDERS = (CUDA, TENSORRT)
"""Providers that keep weights in the memory of a GPU."""
COMPILING_PROVIDERS = (TENSORRT,)
"""Providers that would compile a graph for minutes while they open it. A start gives them compiled graphs only."""


def list_available_providers() -> list[str]:
    """The providers of this machine's ONNX Runtime."""
    import onnxruntime  # late: it is imported beside other work

    return list(onnxruntime.get_available_providers())
