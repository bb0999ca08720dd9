"""ONNX Runtime's exceptions for inputs that a graph cannot compute."""

from __future__ import annotations

from entrypoints.hardware.memory import is_out_of_memory

NAMES = ("InvalidArgument", "RuntimeException", "Fail")
"""Of the classes; they share no base class. A shortage of memory has the same."""


def is_input_error(error: Exception) -> bool:
    return type(error).__name__ in NAMES and not is_out_of_memory(error)
