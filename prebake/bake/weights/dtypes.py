"""The element types of tensors, by their names in safetensors, numpy, torch, ONNX and torch.export.

Imports no library: numpy's dtype is in ``numpy_arrays``, torch's in ``torch_tensors``.
"""

from __future__ import annotations

from typing import NamedTuple


class DType(NamedTuple):
    """One element type."""

    safetensors: str
    name: str
    """The name in numpy, ml_dtypes and torch."""
    bytes: int
    onnx: str = ""
    """The name in ONNX Runtime's ``tensor(...)``, in capitals ONNX's own; empty if numpy alone cannot hold it, so that a request
    cannot."""
    pt2: int = 0
    """The number in ``torch._export.serde.schema.ScalarType``; 0 if a program with it is not baked."""


DTYPES = (
    DType("BOOL", "bool", 1, onnx="bool", pt2=12),
    DType("U8", "uint8", 1, onnx="uint8", pt2=1),
    DType("I8", "int8", 1, onnx="int8", pt2=2),
    DType("U16", "uint16", 2, onnx="uint16", pt2=28),
    DType("I16", "int16", 2, onnx="int16", pt2=3),
    DType("U32", "uint32", 4, onnx="uint32", pt2=34),
    DType("I32", "int32", 4, onnx="int32", pt2=4),
    DType("U64", "uint64", 8, onnx="uint64", pt2=35),
    DType("I64", "int64", 8, onnx="int64", pt2=5),
    DType("F16", "float16", 2, onnx="float16", pt2=6),
    DType("F32", "float32", 4, onnx="float", pt2=7),
    DType("F64", "float64", 8, onnx="double", pt2=8),
    DType("BF16", "bfloat16", 2),
    DType("F8_E4M3", "float8_e4m3fn", 1),
    DType("F8_E5M2", "float8_e5m2", 1),
    DType("F8_E8M0", "float8_e8m0fnu", 1),
    DType("C64", "complex64", 8),
)
ITEM_BYTES = {dtype.safetensors: dtype.bytes for dtype in DTYPES}
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""The element type of floating point precisions, as image.yaml names them."""
STRING = "string"
"""Stands for text, which is no numpy type of fixed size."""
NAME_BY_ONNX = {dtype.onnx: dtype.name for dtype in DTYPES if dtype.onnx} | {"string": STRING}
NAME_BY_PT2 = {dtype.pt2: dtype.name for dtype in DTYPES if dtype.pt2}
