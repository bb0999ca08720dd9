"""EPContext models: graphs of one node that names the file of a compiled engine."""

from __future__ import annotations

from pathlib import Path

import onnx

from prebake.bake.errors import BakeError
from prebake.bake.graphs.onnx_files import EPCONTEXT_SOURCE_ATTRIBUTE, find_external_files


def check_context(component: str, graph: Path) -> list[str]:
    """The names of an EPContext model's engine files, which lie in its folder.

    Raises BakeError if the graph is not an EPContext model, if operators are left over, or if it names a file outside its folder.
    """
    if not graph.exists():
        raise BakeError(
            f"{component}: the provider wrote no EPContext model.", next_action="check the provider's options"
        )
    nodes = list(onnx.load(str(graph), load_external_data=False).graph.node)
    left_over = sorted({node.op_type for node in nodes if node.op_type != "EPContext"})
    if left_over or not nodes or find_external_files(graph):
        raise BakeError(
            f"{component}: the provider compiled only a part of the graph; left over: {', '.join(left_over) or 'weights'}.",
            next_action="compile the component with a provider that supports all of its operators",
        )
    names = sorted({str(Path(name)) for node in nodes if (name := _engine_of(node))})  # a name may begin with ./
    outside = [name for name in names if name != Path(name).name or not (graph.parent / name).is_file()]
    if outside or not names:
        raise BakeError(
            f"{component}: the engine must lie beside its EPContext model, which names {', '.join(outside) or 'none'}.",
            next_action="compile with embed mode 0 and relative paths",
        )
    return names


def name_source(graph: Path, name: str) -> None:
    """Set the file name from which an engine without weights is refitted. The engine was compiled from a copy of another name."""
    model = onnx.load(str(graph), load_external_data=False)
    for node in model.graph.node:
        kept = [attribute for attribute in node.attribute if attribute.name != EPCONTEXT_SOURCE_ATTRIBUTE]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(EPCONTEXT_SOURCE_ATTRIBUTE, name)])
    graph.write_bytes(model.SerializeToString(deterministic=True))


def _engine_of(node: onnx.NodeProto) -> str:
    """The engine file that an EPContext node names; empty if the node holds the engine itself, or shares another node's."""
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if values.get("embed_mode", 1) or not values.get("main_context", 1):
        return ""
    return bytes(values.get("ep_cache_context", b"")).decode()
