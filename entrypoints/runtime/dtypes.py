"""Element types of tensors: numpy's names in ONNX Runtime's words. The one table of them."""

from __future__ import annotations

ORT_DTYPES = {
    "bfloat16": "bfloat16",
    "bool": "bool",
    "float16": "float16",
    "float32": "float",
    "float64": "double",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "string": "string",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
}
"""The manifest's names (numpy's, and ``string``) to the part of ONNX Runtime's names in brackets: ``tensor(float)``."""


def to_ort_type(dtype: str) -> str:
    """``tensor(float)`` for ``float32``; a name that is not in the table stays as it is."""
    return f"tensor({ORT_DTYPES.get(dtype, dtype)})"


NUMPY_DTYPES = {to_ort_type(dtype): dtype for dtype in ORT_DTYPES}
"""The reverse: ``float32`` for ``tensor(float)``."""
