"""Layers against kinds of change, as ``prebake explain`` prints them."""

from __future__ import annotations

from typing import Any

import pytest

from prebake.io.terminal import Screen
from prebake.render.layer_table import change_table


def layer(name: str, kind: str, size: int | None, registry: bool | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "size": size,
        "blob_size": size and size // 2,
        "store": size is not None,
        "engine": False,
        "registry": registry,
    }


def change(*layers: str, compiled: tuple[str, ...] = (), size: int | None = 1 << 20) -> dict[str, Any]:
    return {"layers": [*layers, *compiled], "compiled": list(compiled), "bytes": size}


EXPLAINED: dict[str, Any] = {
    "layers": [
        layer("dependencies", "dependencies", 200 << 20, registry=True),
        layer("transformer/diffusion_pytorch_model.safetensors", "weights", 900 << 20, registry=False),
        layer("net native-0123456789ab", "compiled", 30 << 20),
        layer("graphs", "graphs", 1 << 20),
        layer("code", "code", None),
    ],
    "changes": {
        "code": change("code", size=None),
        "export.py": change("graphs", compiled=("net native-0123456789ab",)),
        "precision": change("graphs", size=None),
        "buckets": change(size=0),
        "base": change("dependencies", "graphs", "code"),
    },
}

GOLDEN = """\
                                                              a change of
                                                              code
                                                              | export.py
                                                              | | precision
                                                              | | | buckets
                                                              | | | | base image
layer                         kind               size  S E R  | | | | |
dependencies                  dependencies  200.0 MiB  + - +  . . . . #
transformer/d..l.safetensors  weights       900.0 MiB  + - -  . . . . .
net native-0123456789ab       compiled       30.0 MiB  + - ?  . c . . .
graphs                        graphs          1.0 MiB  + - ?  . # # . #
code                          code                  ?  - - ?  # . . . #

# made again and sent   . unchanged
c left out until `prebake compile` makes it again
S store, E Engine, R registry: + has the layer, - lacks it, ? not known
precision, buckets: of the first component in image.yaml

A change of  sends
  code       not known before it was built once
  export.py  at most 1.0 MiB; net native-0123456789ab by `prebake compile`
  precision  not known: its weights get another size
  buckets    nothing
  base       at most 1.0 MiB beside its own layers
"""


def test_rows_are_layers_and_columns_are_changes() -> None:
    lines = change_table(EXPLAINED, Screen(80))
    assert "\n".join(lines) + "\n" == GOLDEN
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("columns", [80, 93, 94, 120])
def test_no_line_is_longer_than_the_screen(columns: int) -> None:
    lines = change_table(EXPLAINED, Screen(columns))
    assert max(map(len, lines)) <= columns
    assert ("sent as" in "\n".join(lines)) == (columns >= 94)


def test_a_wide_screen_shows_names_whole_and_a_narrow_one_a_part() -> None:
    wide, narrow = ("\n".join(change_table(EXPLAINED, Screen(columns))) for columns in (140, 40))
    assert "transformer/diffusion_pytorch_model.safetensors  weights" in wide
    assert "trans..nsors  weights" in narrow


def test_marks_and_colours_are_those_that_the_screen_has() -> None:
    plain = "\n".join(change_table(EXPLAINED, Screen(80)))
    assert plain.isascii()
    blocks = "\n".join(change_table(EXPLAINED, Screen(80, blocks=True)))
    assert blocks.replace("●", "#").replace("·", ".").replace("│", "|") == plain
    coloured = "\n".join(change_table(EXPLAINED, Screen(80, color=True)))
    assert "\x1b[1;36m#\x1b[0m" in coloured
    for code in ("\x1b[1;36m", "\x1b[2m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


def test_an_image_without_layers_has_a_table_without_rows() -> None:
    assert change_table({"layers": [], "changes": {}}, Screen(80))
