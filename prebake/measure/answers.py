"""Compares an answer with the reference, by the container's own implementation, entrypoints/model/answer_comparison.py.

The file is loaded by its path: the container must not import prebake, and an installed wheel has the entrypoints as data, so
that there is no package `entrypoints` to import (docs/decisions/0033-events-and-one-comparison.md).
"""

from __future__ import annotations

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from prebake.spec.project import library_root


def measure_distance(expected: bytes, actual: bytes, media_type: str) -> float:
    """The largest absolute difference of two answers: of a WAV's samples (full scale is 1), of a JSON document's numbers at
    the same places. Infinity if their shapes differ or one cannot be read. Of other media types 0 if the bytes are equal,
    else infinity."""
    distance: float = _load_comparison().measure_distance(expected, actual, media_type)
    return distance


@cache
def _load_comparison() -> ModuleType:
    path = library_root() / "entrypoints/model/answer_comparison.py"
    spec = spec_from_file_location("prebake_answer_comparison", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} does not exist")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
