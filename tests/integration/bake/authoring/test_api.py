"""``prebake.bake.authoring``: every name of the API can be imported, and importing the package loads no library."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from prebake.bake import authoring


@pytest.mark.parametrize("name", authoring.__all__)
def test_each_name_is_loaded_on_first_use(name: str) -> None:
    assert getattr(authoring, name) is not None


def test_type_checkers_see_the_names_that_the_package_has() -> None:
    tree = ast.parse(Path(authoring.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert {name for _, name in imported} == set(authoring.__all__)
    assert imported == {(module, name) for module, names in authoring._MODULES.items() for name in names}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Cake'"):
        _ = authoring.Cake


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, prebake.bake.authoring; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'onnx', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
