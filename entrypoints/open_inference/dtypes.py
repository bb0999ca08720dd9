"""The protocol's datatypes, and the manifest's names of element types. The server process reads this, too: no numpy."""

from __future__ import annotations

DATATYPES = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
"""The protocol's name of each element type of the manifest."""
BYTES, BF16, BOOL = "BYTES", "BF16", "BOOL"

ARRAY_TYPES = {datatype: name for name, datatype in DATATYPES.items()} | {BF16: "uint16", BYTES: "object"}
"""numpy's name of the type in which arrays of each datatype are kept. numpy has no bfloat16: its bits are kept as uint16."""

ELEMENT_BYTES = {
    "BOOL": 1,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
}
"""The size of one element; BYTES has no fixed one."""
LENGTH_BYTES = 4
"""An element of BYTES is its length (unsigned, little-endian), then its bytes."""
INTEGER_RANGES = {
    f"{'U' if low == 0 else ''}INT{bits}": (low, high)
    for bits in (8, 16, 32, 64)
    for low, high in ((0, 2**bits - 1), (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
}
"""The smallest and the largest value."""


def to_config_type(datatype: str) -> str:
    """The name in Triton's model configuration: ``TYPE_FP32`` for ``FP32``, ``TYPE_STRING`` for ``BYTES``."""
    return "TYPE_STRING" if datatype == BYTES else f"TYPE_{datatype}"
