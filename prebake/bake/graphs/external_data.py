"""Links a graph's initializers to tensors of weight files with the same content.

An ONNX initializer may refer to any offset of a file in the graph's folder. torch stores the weight of a linear layer transposed;
ONNX Runtime's ``FusedMatMul(transB=1)`` reads it without copying.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir

from prebake.bake.graphs.initializers import embed_small, get_tensor, list_large, unique_contents
from prebake.bake.weights.dtypes import ITEM_BYTES
from prebake.bake.weights.numpy_arrays import Array, flat_bytes, write_arrays
from prebake.bake.weights.safetensors_reader import TensorRegion, read_index

_MICROSOFT = "com.microsoft"
_MATMUL_TYPES = {("", "MatMul"), ("", "Gemm"), (_MICROSOFT, "FusedMatMul")}


@dataclass(frozen=True)
class LinkReport:
    """Numbers and bytes of a graph's large initializers: linked ``direct``, linked ``transposed``, and ``left`` unlinked."""

    direct: int = 0
    direct_bytes: int = 0
    transposed: int = 0
    transposed_bytes: int = 0
    left: int = 0
    left_bytes: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


class WeightFiles:
    """The tensors of safetensors files, by content. A tensor is hashed at most once, and only if its length is looked up."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._by_length: dict[int, list[TensorRegion]] = {}
        self._by_digest: dict[int, dict[bytes, TensorRegion]] = {}
        for path in sorted(paths):
            for region in sorted(read_index(path).values(), key=lambda region: region.offset):
                self._by_length.setdefault(region.length, []).append(region)

    def find(self, array: Array) -> TensorRegion | None:
        """The first tensor, by file and offset, with the bytes of ``array`` and an offset aligned to its items."""
        if array.nbytes not in self._by_length:
            return None
        return self._regions(array.nbytes).get(hashlib.sha256(flat_bytes(array).data).digest())

    def _regions(self, length: int) -> dict[bytes, TensorRegion]:
        if length not in self._by_digest:
            aligned = [region for region in self._by_length[length] if region.offset % ITEM_BYTES[region.dtype] == 0]
            self._by_digest[length] = {region.digest(): region for region in reversed(aligned)}
        return self._by_digest[length]


def link_initializers(model: ir.Model, weights: WeightFiles, constants: Path) -> LinkReport:
    """Link every large initializer to ``weights``, whose files lie in one folder.

    Initializers without a match are written to the new safetensors file ``constants`` in that folder, each content once. Links
    are file names, so the graph must lie in the same folder. Small initializers are embedded in the graph.
    """
    embed_small(model)
    unmatched, report = link_matching(model, weights)
    _write_constants(constants, unmatched)
    return report


def link_matching(model: ir.Model, weights: WeightFiles) -> tuple[list[ir.Value], LinkReport]:
    """Link every large initializer with a match in ``weights``. Returns those without a match, unchanged."""
    counts = dict.fromkeys(("direct", "transposed", "left"), 0)
    sizes = dict(counts)
    unmatched: list[ir.Value] = []
    for value in list_large(model):
        how = _link(model, value, weights)
        if how == "left":
            unmatched.append(value)
        counts[how] += 1
        sizes[how] += get_tensor(value).nbytes
    return unmatched, LinkReport(**counts, **{f"{how}_bytes": size for how, size in sizes.items()})


def _link(model: ir.Model, value: ir.Value, weights: WeightFiles) -> str:
    array = get_tensor(value).numpy()
    if region := weights.find(array):
        _refer(value, region, array.shape)
        return "direct"
    if array.ndim == 2 and _is_only_multiplied_by(value) and (region := weights.find(array.T)):
        _refer(value, region, array.shape[::-1])
        _transpose_users(model, value)
        return "transposed"
    return "left"


def _refer(value: ir.Value, region: TensorRegion, shape: tuple[int, ...]) -> None:
    value.shape = ir.Shape(shape)
    value.const_value = ir.ExternalTensor(
        region.path.name,
        region.offset,
        region.length,
        get_tensor(value).dtype,
        shape=ir.Shape(shape),
        name=value.name or "",
        base_dir=region.path.parent,
    )


def _is_only_multiplied_by(value: ir.Value) -> bool:
    """Whether every use is the right operand of a matrix product, so that the initializer may be transposed."""
    values = (value, *_casts(value))
    uses = [use for reader in values for use in _uses_other_than_cast(reader)]
    return (
        bool(uses) and not any(map(ir.Value.is_graph_output, values)) and all(_is_right_operand(*use) for use in uses)
    )


def _casts(value: ir.Value) -> list[ir.Value]:
    """Outputs of the Cast nodes that read ``value``: weights in half precision have one."""
    return [node.outputs[0] for node, _ in value.uses() if _is_cast(node)]


def _uses_other_than_cast(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    return ((node, index) for node, index in value.uses() if not _is_cast(node))


def _is_cast(node: ir.Node) -> bool:
    return (node.domain, node.op_type) == ("", "Cast")


def _is_right_operand(node: ir.Node, index: int) -> bool:
    left = node.inputs[0]
    return (
        index == 1
        and (node.domain, node.op_type) in _MATMUL_TYPES
        and (left is None or left.shape is None or left.shape.rank() >= 2)
    )


def _transpose_users(model: ir.Model, value: ir.Value) -> None:
    for cast in _casts(value):
        cast.shape = value.shape
        _transpose_users(model, cast)
    for node, _ in _uses_other_than_cast(value):
        transposed = node.attributes.get_int("transB", 0)
        node.attributes["transB"] = ir.AttrInt64("transB", 1 - (transposed or 0))
        if node.op_type == "MatMul":
            node.domain, node.op_type = _MICROSOFT, "FusedMatMul"
            model.opset_imports[_MICROSOFT] = 1


def _write_constants(path: Path, values: Sequence[ir.Value]) -> None:
    path.unlink(missing_ok=True)
    if not values:
        return
    write_arrays(path, dict(unique_contents(sorted(values, key=lambda value: value.name or ""))))
    constants = WeightFiles([path])
    for value in values:
        array = get_tensor(value).numpy()
        if region := constants.find(array):  # always found: it was just written
            _refer(value, region, array.shape)
