"""Pointing a graph's initialisers into published weight files, by content.

An ONNX initialiser may lie at any offset of a file under the graph's folder. A linear layer's weight lies transposed in
the file, since torch multiplies by its transpose; ONNX Runtime's ``FusedMatMul(transB=1)`` reads it as it lies there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir

from prebake.bake.arrays import Array, flat_bytes, storable, write_arrays
from prebake.bake.safetensors_index import ITEM_BYTES, Region, read_index

SMALLEST = 1024  # bytes; below it an initialiser stays in the graph
LONGEST = 16 * 1024
"""Bytes below which a vector (a bias, a norm's scale) stays there, too: ONNX Runtime resolves the path of a file anew for each
initialiser that lies in one, which is most of what a session over many vectors would cost (docs/startup.md)."""
_MICROSOFT = "com.microsoft"
_MULTIPLIES = {("", "MatMul"), ("", "Gemm"), (_MICROSOFT, "FusedMatMul")}


@dataclass(frozen=True)
class Report:
    """Where a graph's large initialisers lie: how many, and how many bytes the graph reads."""

    direct: int = 0
    direct_bytes: int = 0
    transposed: int = 0
    transposed_bytes: int = 0
    left: int = 0
    left_bytes: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


class WeightFiles:
    """The tensors of some safetensors files, found by content. A tensor is hashed at most once, and only when something
    of its length is looked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._by_length: dict[int, list[Region]] = {}
        self._digests: dict[int, dict[bytes, Region]] = {}
        for path in sorted(paths):
            for region in sorted(read_index(path).values(), key=lambda each: each.offset):
                self._by_length.setdefault(region.length, []).append(region)

    def find(self, array: Array) -> Region | None:
        """The first tensor, by file and offset, whose bytes are the array's and lie aligned to its items."""
        if array.nbytes not in self._by_length:
            return None
        return self._regions(array.nbytes).get(hashlib.sha256(flat_bytes(array).data).digest())

    def _regions(self, length: int) -> dict[bytes, Region]:
        if length not in self._digests:
            aligned = [each for each in self._by_length[length] if each.offset % ITEM_BYTES[each.dtype] == 0]
            self._digests[length] = {each.digest(): each for each in reversed(aligned)}
        return self._digests[length]


def repoint(model: ir.Model, weights: WeightFiles, constants: Path) -> Report:
    """Point every large initialiser into ``weights``, all of them files of one folder.

    What is not found there goes to the new safetensors file ``constants`` of that folder, each content once. Locations are
    names relative to it: the graph has to lie there too. What is small is held by the graph itself.
    """
    hold_small(model)
    left, report = point_into(model, weights)
    _write_constants(constants, left)
    return report


def point_into(model: ir.Model, weights: WeightFiles) -> tuple[list[ir.Value], Report]:
    """As ``repoint``, but what is not found is given back, and stays as it is."""
    counts = dict.fromkeys(("direct", "transposed", "left"), 0)
    sizes = dict(counts)
    left: list[ir.Value] = []
    for value in _large(model):
        how = _point(model, value, weights)
        if how == "left":
            left.append(value)
        counts[how] += 1
        sizes[how] += _tensor(value).nbytes
    return left, Report(**counts, **{f"{how}_bytes": size for how, size in sizes.items()})


def hold_large(values: Sequence[ir.Value]) -> None:
    """Take initialisers into the graph itself."""
    for value in values:
        tensor = _tensor(value)
        value.const_value = ir.Tensor(tensor.numpy().copy(), dtype=tensor.dtype, name=tensor.name)


def hold_small(model: ir.Model) -> None:
    """Take into the graph what it keeps in files of its own and ``repoint`` leaves where it is: small tensors, those of types
    that safetensors lacks, and attributes. The files that they lie in are not the image's."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor) and not _is_large(tensor):
                value.const_value = ir.Tensor(tensor.numpy().copy(), dtype=tensor.dtype, name=tensor.name)
        for node in graph:
            for name, attribute in node.attributes.items():
                if isinstance(held := attribute.value, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, ir.Tensor(held.numpy().copy(), dtype=held.dtype))


def large_initialisers(model: ir.Model) -> dict[str, Array]:
    """What a graph file holds of weights, each content once, by the name of the first initialiser that has it."""
    contents: dict[bytes, tuple[str, Array]] = {}
    for value in _large(model):
        array = _array(value)
        contents.setdefault(hashlib.sha256(flat_bytes(array).data).digest(), (value.name or "", array))
    names: dict[str, Array] = {}
    for name, array in contents.values():
        names[name if name not in names else f"{name}.{len(names)}"] = array  # a subgraph's may be called the same
    return names


def _large(model: ir.Model) -> Iterator[ir.Value]:
    """Initialisers whose type has whole bytes and a place in safetensors: of at least SMALLEST bytes, vectors of LONGEST."""
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            if _is_large(_tensor(value)):
                yield value


def _is_large(tensor: ir.TensorProtocol) -> bool:
    least = LONGEST if max(tensor.shape.numpy(), default=1) == tensor.size else SMALLEST
    return tensor.dtype != ir.DataType.STRING and tensor.nbytes >= least and storable(tensor.numpy())


def _tensor(value: ir.Value) -> ir.TensorProtocol:
    if value.const_value is None:
        raise ValueError(f"the initialiser {value.name} has no value")
    return value.const_value


def _array(value: ir.Value) -> Array:
    return _tensor(value).numpy()


def _point(model: ir.Model, value: ir.Value, weights: WeightFiles) -> str:
    array = _array(value)
    if region := weights.find(array):
        _place(value, region, array.shape)
        return "direct"
    if array.ndim == 2 and _only_multiplied_by(value) and (region := weights.find(array.T)):
        _place(value, region, array.shape[::-1])
        _transpose_users(model, value)
        return "transposed"
    return "left"


def _place(value: ir.Value, region: Region, shape: tuple[int, ...]) -> None:
    dtype = _tensor(value).dtype
    value.shape = ir.Shape(shape)
    value.const_value = ir.ExternalTensor(
        region.path.name,
        region.offset,
        region.length,
        dtype,
        shape=ir.Shape(shape),
        name=value.name or "",
        base_dir=region.path.parent,
    )


def _only_multiplied_by(value: ir.Value) -> bool:
    """Whether every use is the right-hand side of a matrix product, nothing else of which needs it untransposed."""
    values = (value, *_casts(value))
    uses = [use for each in values for use in _plain_uses(each)]
    return bool(uses) and not any(map(ir.Value.is_graph_output, values)) and all(_is_right_side(*use) for use in uses)


def _casts(value: ir.Value) -> list[ir.Value]:
    """What is read in its place, as weights of half precision are."""
    return [node.outputs[0] for node, _ in value.uses() if _is_cast(node)]


def _plain_uses(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    return ((node, index) for node, index in value.uses() if not _is_cast(node))


def _is_cast(node: ir.Node) -> bool:
    return (node.domain, node.op_type) == ("", "Cast")


def _is_right_side(node: ir.Node, index: int) -> bool:
    left = node.inputs[0]
    return (
        index == 1
        and (node.domain, node.op_type) in _MULTIPLIES
        and (left is None or left.shape is None or left.shape.rank() >= 2)
    )


def _transpose_users(model: ir.Model, value: ir.Value) -> None:
    for cast in _casts(value):
        cast.shape = value.shape
        _transpose_users(model, cast)
    for node, _ in _plain_uses(value):
        transposed = node.attributes.get_int("transB", 0)
        node.attributes["transB"] = ir.AttrInt64("transB", 1 - (transposed or 0))
        if node.op_type == "MatMul":
            node.domain, node.op_type = _MICROSOFT, "FusedMatMul"
            model.opset_imports[_MICROSOFT] = 1


def _write_constants(path: Path, values: Sequence[ir.Value]) -> None:
    path.unlink(missing_ok=True)
    if not values:
        return
    contents: dict[bytes, tuple[str, Array]] = {}
    for value in sorted(values, key=lambda each: each.name or ""):
        array = _array(value)
        contents.setdefault(hashlib.sha256(flat_bytes(array).data).digest(), (value.name or "", array))
    write_arrays(path, dict(contents.values()))
    constants = WeightFiles([path])
    for value in values:
        array = _array(value)
        if region := constants.find(array):  # just written
            _place(value, region, array.shape)
