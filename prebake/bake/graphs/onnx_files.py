"""Reads and writes ONNX files. Written files are reproducible: no stack traces, paths or producer versions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnx_ir as ir

EPCONTEXT_SOURCE_ATTRIBUTE = "onnx_model_filename"
"""Attribute of an EPContext node: the ONNX file whose weights a weight-stripped engine is refitted with."""
_PRODUCER = "prebake"
_TRACE_FIELDS = ("doc_string", "metadata_props")  # stack traces, paths of the machine that exported


def save(model: ir.Model, path: Path, name: str) -> None:
    """Write ``model`` to ``path`` with the graph name ``name``. External data stay in their files."""
    proto = ir.serde.serialize_model(model)
    proto.producer_name, proto.producer_version, proto.graph.name = _PRODUCER, "", name
    _strip(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


class _EmbeddedText(ir.StringTensor):
    """A string tensor that stays in the graph: onnx_ir would move a large one to the external data, which fails."""

    @property
    def nbytes(self) -> int:
        return 0


def save_with_external_data(model: ir.Model, path: Path, data: str) -> None:
    """Write ``model`` to ``path``, and its larger weights to the file ``data`` next to it."""
    for value in (value for graph in model.graphs() for value in graph.initializers.values()):
        tensor = value.const_value
        if isinstance(tensor, ir.StringTensor):
            value.const_value = _EmbeddedText(tensor.string_data(), shape=tensor.shape, name=tensor.name)
    ir.save(model, path, external_data=data)


def load(path: Path) -> ir.Model:
    """Read a graph. External data are memory-mapped; their paths are relative to the graph's folder."""
    return ir.load(path)


@contextmanager
def copy_with_external_data(path: Path) -> Iterator[Path]:
    """Yields a copy of a graph and its external data, valid within the ``with`` block. onnx_ir refuses to read hard-linked
    files, and files of the store are hard-linked into the build context."""
    with TemporaryDirectory(prefix="published-") as folder:
        for name in (path.name, *find_external_files(path)):
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.parent / name, target)
        yield Path(folder, path.name)


def find_external_files(path: Path) -> list[str]:
    """The graph's external data files, relative to its folder, sorted."""
    model = onnx.load(str(path), load_external_data=False)
    return sorted({entry.value for entry in _list_locations(model)})


def rename_external_files(path: Path, names: Mapping[str, str]) -> bytes:
    """The graph with other names of its external data files, and of the file that its engine is refitted from.

    names: new name by old name. Returns the bytes of the ONNX file.
    """
    model = onnx.load(str(path), load_external_data=False)
    for entry in _list_locations(model):
        entry.value = names.get(entry.value, entry.value)
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    for attribute in [attribute for attribute in attributes if attribute.name == EPCONTEXT_SOURCE_ATTRIBUTE]:
        attribute.s = names.get(attribute.s.decode(), attribute.s.decode()).encode()
    return bytes(model.SerializeToString(deterministic=True))


def _list_locations(message: Any) -> Iterator[onnx.StringStringEntryProto]:
    """The external data entries with the location of each tensor, at any depth of the message."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in [value] if hasattr(value, "ListFields") else value:
            if isinstance(item, onnx.TensorProto):
                yield from (entry for entry in item.external_data if entry.key == "location")
            else:
                yield from _list_locations(item)


def sort_initializers(model: ir.Model) -> None:
    """Sort the initializers of every graph by name, since ONNX Runtime writes them in no fixed order."""
    for graph in model.graphs():
        ordered = sorted(graph.initializers.items())
        graph.initializers.clear()
        graph.initializers.update(ordered)


def _strip(message: Any) -> None:
    """Clear traces of the exporting machine in a protobuf message, at any depth."""
    for name in _TRACE_FIELDS:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in [value] if hasattr(value, "ListFields") else value:
                _strip(item)


def describe_value(value: ir.Value) -> list[Any]:
    """``[dtype, axes]``. An axis is a length, or the name of a dynamic axis; an unnamed one is called ``TENSOR.INDEX``, as in
    ``prebake.bake.importers.signature``. The axes are None if the tensor has no fixed rank."""
    dtype = value.dtype or ir.DataType.UNDEFINED  # numpy() raises for it
    kind = "string" if dtype == ir.DataType.STRING else dtype.numpy().name
    if value.shape is None:
        return [kind, None]
    axes = [
        dim if isinstance(dim, int) else dim.value or f"{value.name}.{index}" for index, dim in enumerate(value.shape)
    ]
    return [kind, axes]
