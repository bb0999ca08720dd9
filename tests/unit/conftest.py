"""Unit tests need Python alone: no torch, no ONNX Runtime, no Engine.

If this tier runs by itself, as `make unit` and continuous integration run it, an import of a package of ``FOREIGN`` fails.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

FOREIGN = {"torch", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "transformers", "diffusers", "tensorrt"}


class Refusal(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in FOREIGN:
            raise ImportError(f"a unit test imports {fullname}: such a test belongs into tests/integration")
        return None


def pytest_configure(config: pytest.Config) -> None:
    """pytest calls this only if the command line names this folder or something in it."""
    unit = Path(__file__).parent
    named = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    if all(path.is_relative_to(unit) for path in named):
        sys.meta_path.insert(0, Refusal())


@pytest.fixture
def engine() -> NoReturn:
    raise LookupError("a unit test asks for the Engine: such a test belongs into tests/e2e")
