"""ONNX graphs as files: cleaned of where and how they were made, and byte for byte the same each time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnx_ir as ir
import onnxruntime as ort

from entrypoints.saturation import saturates_here
from prebake.bake.component import Session
from prebake.bake.errors import BakeError
from prebake.bake.saturation import has_products, unshare
from prebake.bake.sessions import session_options

SOURCE = "onnx_model_filename"
"""The attribute of an EPContext node for the graph that an engine without weights is refitted from."""
_PRODUCER = "prebake"
_TRACES = ("doc_string", "metadata_props")  # stack traces, paths of the machine that exported


def save(model: ir.Model, path: Path, name: str) -> None:
    """Write ``model`` to ``path`` as the graph ``name``, external data left where it is."""
    proto = ir.serde.serialize_model(model)
    proto.producer_name, proto.producer_version, proto.graph.name = _PRODUCER, "", name
    _strip(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


class _Text(ir.StringTensor):
    """Text that stays in the graph: onnx_ir would write what it takes for many bytes into the file of weights, and cannot."""

    @property
    def nbytes(self) -> int:
        return 0


def save_apart(model: ir.Model, path: Path, data: str) -> None:
    """Write ``model`` to ``path``, and its larger weights into the file ``data`` beside it."""
    for value in (value for graph in model.graphs() for value in graph.initializers.values()):
        tensor = value.const_value
        if isinstance(tensor, ir.StringTensor):
            value.const_value = _Text(tensor.string_data(), shape=tensor.shape, name=tensor.name)
    ir.save(model, path, external_data=data)


def load(path: Path) -> ir.Model:
    """Read a graph; external data are mapped, not read, and resolve against the graph's folder."""
    return ir.load(path)


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A published graph and the files that it keeps weights in, as files with no other name while the block lasts: onnx_ir
    reads none that has several, as those of a store have that is linked into a build's context."""
    with TemporaryDirectory(prefix="published-") as folder:
        for name in (path.name, *external_files(path)):
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.parent / name, target)
        yield Path(folder, path.name)


def external_files(path: Path) -> list[str]:
    """The files beside a graph that it keeps tensors in, wherever in it those are; names relative to its folder."""
    model = onnx.load(str(path), load_external_data=False)
    return sorted(set(_locations(model)))


def renamed_data(path: Path, names: Mapping[str, str]) -> bytes:
    """A graph whose files of tensors have other names now, or the graph that its engine is refitted from: new ones by old."""
    model = onnx.load(str(path), load_external_data=False)
    for entry in _entries(model):
        entry.value = names.get(entry.value, entry.value)
    for attribute in (each for node in model.graph.node for each in node.attribute if each.name == SOURCE):
        attribute.s = names.get(attribute.s.decode(), attribute.s.decode()).encode()
    return bytes(model.SerializeToString(deterministic=True))


def _locations(message: Any) -> Iterator[str]:
    return (entry.value for entry in _entries(message))


def _entries(message: Any) -> Iterator[onnx.StringStringEntryProto]:
    """Where tensors say which file they lie in, however deep."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in [value] if hasattr(value, "ListFields") else value:
            if isinstance(each, onnx.TensorProto):
                yield from (entry for entry in each.external_data if entry.key == "location")
            else:
                yield from _entries(each)


def open_published(component: str, path: Path, content: bytes | None = None) -> ort.InferenceSession:
    """A published graph as its publisher meant it: nothing of it is optimised. If its own operators compute in 8 bits, and those
    saturate on this processor, it is optimised as far as exact kernels need. ``content`` stands in for the file's own bytes.
    Raises BakeError if it cannot be opened."""
    try:
        if saturates_here() and has_products(load(path)):
            with copied(path) as copy:
                if content is not None:
                    copy.write_bytes(content)
                return open_exact(copy)
        options = session_options(Session("disable", prepack=True))
        options.log_severity_level = 4  # the error that is raised says it
        return ort.InferenceSession(content or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"{component}: ONNX Runtime does not open {path.name}: {error}",
            next_action="Check that it is a whole ONNX file, its external data beside it, of operators that ONNX Runtime has.",
        ) from error


def open_exact(graph: Path) -> ort.InferenceSession:
    """A graph whose 8-bit products are exact on this processor; it is written anew."""
    model = load(graph)
    unshare(model)
    save(model, graph, graph.stem)
    options = session_options(Session("disable", prepack=True, saturates=True))
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def sort_initialisers(model: ir.Model) -> None:
    """Order every graph's initialisers by name, whatever order ONNX Runtime happened to keep them in."""
    for graph in model.graphs():
        ordered = sorted(graph.initializers.items())
        graph.initializers.clear()
        graph.initializers.update(ordered)


def _strip(message: Any) -> None:
    """Clear what a build leaves behind in a protobuf message and in every message of it, however deep."""
    for name in _TRACES:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in [value] if hasattr(value, "ListFields") else value:
                _strip(each)
