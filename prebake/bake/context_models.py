"""EPContext models: graphs that stand for engines, and the files that those lie in."""

from __future__ import annotations

from pathlib import Path

import onnx

from prebake.bake.errors import BakeError
from prebake.bake.graph_files import SOURCE, external_files


def check_context(component: str, graph: Path) -> list[str]:
    """The files that an EPContext model keeps its engines in, by names relative to its folder.

    Raises BakeError where it is none, where operators are left over, or where it names a file that is not beside it.
    """
    if not graph.exists():
        raise BakeError(f"{component}: no EPContext model was written.", next_action="Check the provider's options.")
    nodes = list(onnx.load(str(graph), load_external_data=False).graph.node)
    left = sorted({node.op_type for node in nodes if node.op_type != "EPContext"})
    if left or not nodes or external_files(graph):
        raise BakeError(
            f"{component}: the provider compiled a part of the graph only; left over: {', '.join(left) or 'weights'}.",
            next_action="Leave the component to a provider that takes all of it.",
        )
    names = sorted({str(Path(name)) for node in nodes if (name := _engine_of(node))})  # which may begin with ./
    strange = [name for name in names if name != Path(name).name or not (graph.parent / name).is_file()]
    if strange or not names:
        raise BakeError(
            f"{component}: the engine should lie beside its EPContext model, which names {', '.join(strange) or 'none'}.",
            next_action="Compile with embed mode 0 and relative paths.",
        )
    return names


def name_source(graph: Path, name: str) -> None:
    """Write down which file an engine without weights is refitted from: it was compiled from a copy of another name."""
    model = onnx.load(str(graph), load_external_data=False)
    for node in model.graph.node:
        kept = [each for each in node.attribute if each.name != SOURCE]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(SOURCE, name)])
    graph.write_bytes(model.SerializeToString(deterministic=True))


def _engine_of(node: onnx.NodeProto) -> str:
    """The file that an EPContext node names; empty where its engine is inside, or is another node's."""
    values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if values.get("embed_mode", 1) or not values.get("main_context", 1):
        return ""
    return bytes(values.get("ep_cache_context", b"")).decode()
