"""Whether products of unsigned and signed 8-bit numbers saturate on this processor, and the option that avoids it.

x86 processors with AVX2 or AVX-512 but without VNNI add two such products in 16 bits. A sum beyond 32,767 is cut off, so a
graph with 8-bit weights answers worse than where it was checked, and nothing reports it. ONNX Runtime then has slower kernels
that are exact (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "When and why do I need to try
U8U8").
"""

from __future__ import annotations

from functools import cache

from entrypoints.hardware.providers import CPU

EXACT_PRODUCTS_OPTION = "session.x64quantprecision"
"""ONNX Runtime rewrites signed weights as unsigned ones: at the level EXTENDED, and only if they may saturate here."""
PROBE_GRAPH = bytes.fromhex(
    "08093a560a180a01610a0162120179220d4d61744d756c496e74656765721201702a0d0802080110034201624a027f7f5a13"
    "0a0161120e0a0c080212080a0208010a02080262130a0179120e0a0c080612080a0208010a02080142040a001011"
)
"""An ONNX graph: ``y = MatMulInteger(a, b)``, ``a`` uint8[1, 2], ``b`` the constant int8[2, 1] of 127s."""
_EXPECTED = 255 * 127 * 2


@cache
def saturates_here() -> bool:
    """Runs a probe in ONNX Runtime, which chooses kernels by the processor. In a sandbox /proc/cpuinfo may differ from it."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(PROBE_GRAPH, options, providers=[CPU])
    return bool(session.run(None, {"a": np.full((1, 2), 255, np.uint8)})[0].item() != _EXPECTED)
