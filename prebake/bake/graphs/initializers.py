"""The initializers of a graph: which are large enough for a weight file, and which the graph embeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import onnx_ir as ir

from prebake.bake.weights.numpy_arrays import Array, flat_bytes, is_storable

MIN_EXTERNAL_BYTES = 1024
"""Smaller initializers stay in the graph."""
MIN_EXTERNAL_VECTOR_BYTES = 16 * 1024
"""Smaller vectors (biases, scales of norms) stay in the graph, too. ONNX Runtime resolves the file path of each external
initializer anew, which would dominate the time to open a session with many vectors (docs/concepts/startup.md)."""


def list_large(model: ir.Model) -> Iterator[ir.Value]:
    """Initializers of at least MIN_EXTERNAL_BYTES, vectors of MIN_EXTERNAL_VECTOR_BYTES, whose dtype safetensors has."""
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            if _is_large(get_tensor(value)):
                yield value


def large_initializers(model: ir.Model) -> dict[str, Array]:
    """The large initializers, each content once, by the name of the first initializer with that content."""
    names: dict[str, Array] = {}
    for name, array in unique_contents(list_large(model)):
        names[name if name not in names else f"{name}.{len(names)}"] = array  # a subgraph may use the name again
    return names


def unique_contents(values: Iterator[ir.Value] | Sequence[ir.Value]) -> list[tuple[str, Array]]:
    """Name and array of the first initializer with each content."""
    contents: dict[bytes, tuple[str, Array]] = {}
    for value in values:
        array = get_tensor(value).numpy()
        contents.setdefault(hashlib.sha256(flat_bytes(array).data).digest(), (value.name or "", array))
    return list(contents.values())


def embed_initializers(values: Sequence[ir.Value]) -> None:
    """Embed external initializers in the graph."""
    for value in values:
        value.const_value = _copy(get_tensor(value))


def embed_small(model: ir.Model) -> None:
    """Embed external tensors that ``prebake.bake.graphs.external_data`` does not link: small ones, dtypes that safetensors
    lacks, and attributes. Their files are not part of the image."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor) and not _is_large(tensor):
                value.const_value = _copy(tensor)
        for node in graph:
            for name, attribute in node.attributes.items():
                if isinstance(tensor := attribute.value, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, ir.Tensor(tensor.numpy().copy(), dtype=tensor.dtype))


def get_tensor(value: ir.Value) -> ir.TensorProtocol:
    """The tensor of an initializer. Raises ValueError if it has none."""
    if value.const_value is None:
        raise ValueError(f"the initializer {value.name} has no value")
    return value.const_value


def _copy(tensor: ir.TensorProtocol) -> ir.Tensor[Any]:
    return ir.Tensor(tensor.numpy().copy(), dtype=tensor.dtype, name=tensor.name)


def _is_large(tensor: ir.TensorProtocol) -> bool:
    is_vector = max(tensor.shape.numpy(), default=1) == tensor.size
    minimum = MIN_EXTERNAL_VECTOR_BYTES if is_vector else MIN_EXTERNAL_BYTES
    return tensor.dtype != ir.DataType.STRING and tensor.nbytes >= minimum and is_storable(tensor.numpy())
