"""ONNX Runtime's exceptions for inputs that a graph cannot compute."""

from __future__ import annotations

from entrypoints.hardware.memory import is_out_of_memory

NAMES = ("InvalidArgument", "RuntimeException", "Fail")
"""The names of their classes, which share no base class. An error about memory has one of them, too."""


def is_input_error(error: Exception) -> bool:
    return type(error).__name__ in NAMES and not is_out_of_memory(error)
