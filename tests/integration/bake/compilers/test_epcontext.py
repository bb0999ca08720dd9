"""What a provider wrote is an engine for the whole graph, in files that lie beside it; anything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from prebake.bake.compilers.epcontext import check_context
from prebake.bake.errors import BakeError


def context(**changes: Any) -> onnx.NodeProto:
    values = {"main_context": 1, "embed_mode": 0, "ep_cache_context": "net.engine", **changes}
    return helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", **values)


def write(folder: Path, *nodes: onnx.NodeProto) -> Path:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph(list(nodes), "net", tensors[:1], tensors[1:])
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets), folder / "model.onnx")
    (folder / "net.engine").write_bytes(b"engine")
    return folder / "model.onnx"


def test_its_engines_are_named_once_and_plainly(tmp_path: Path) -> None:
    shared = context(main_context=0, ep_cache_context="")
    graph = write(tmp_path, context(ep_cache_context="./net.engine"), context(), shared)
    assert check_context("net", graph) == ["net.engine"]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (context(ep_cache_context="../net.engine"), r"which names \.\./net.engine"),
        (context(ep_cache_context="/tmp/net.engine"), "which names /tmp/net.engine"),
        (context(ep_cache_context="other.engine"), "which names other.engine"),
        (context(embed_mode=1), "which names none"),
        (helper.make_node("Relu", ["x"], ["y"]), "left over: Relu"),
    ],
)
def test_what_is_no_engine_beside_its_graph_is_refused(tmp_path: Path, node: onnx.NodeProto, said: str) -> None:
    with pytest.raises(BakeError, match=f"net: .*{said}"):
        check_context("net", write(tmp_path, node))


def test_a_provider_that_wrote_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(BakeError, match="net: the provider wrote no EPContext model"):
        check_context("net", tmp_path / "model.onnx")
