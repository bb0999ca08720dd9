"""Prepares a published graph for the bake: weights as initializers, axes named as served, constants folded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, LiftConstantsToInitializersPass, LiftSubgraphInitializersToMainGraphPass

from entrypoints.manifest.shape_buckets import is_named
from prebake.bake.graphs.initializers import large_initializers
from prebake.bake.graphs.onnx_files import save_with_external_data
from prebake.bake.graphs.optimize import optimize_graph
from prebake.bake.graphs.provider_options import CPU
from prebake.bake.importers.signature import Signature
from prebake.bake.weights.numpy_arrays import flat_bytes

_MIN_IR_VERSION = 8
"""Of the baked graph. Before version 4, initializers had to be inputs as well."""
_MIN_LIFTED_ELEMENTS = 128
"""A Constant of this many elements becomes an initializer, so that it can lie in a weight file."""
_MAX_FOLDED_BYTES = 2 << 30
"""Graphs with more weights are not folded: folding needs three times their size on the disk, and the weights of large networks
are matrices, which are not folded anyway."""
_QUANTIZATION_TYPES = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class ConstantFolding:
    """Bytes of the published weights: in total, in Constant nodes (``constants``), and of weights that folding replaced by new
    ones and that the image omits (``left_out``)."""

    bytes: int = 0
    constants: int = 0
    left_out: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    def __str__(self) -> str:
        constants = f", {self.constants:,} of them in Constant nodes" if self.constants else ""
        left_out = f"; {self.left_out:,} are folded into others and left out" if self.left_out else ""
        return f"published weights of {self.bytes:,} bytes{constants}{left_out}"


def prepare_graph(model: ir.Model, signature: Signature, locale: str = "") -> int:
    """Inline functions, remove inputs that the signature lacks (they have default values in the file), lift Constants to
    initializers, and name axes as in the signature. Returns the bytes of lifted Constants."""
    if model.functions:
        InlinePass()(model)
    _match_inputs(model, signature)
    before = _bytes(model)
    LiftConstantsToInitializersPass(lift_all_constants=False, size_limit=_MIN_LIFTED_ELEMENTS)(model)
    # Within a subgraph, ONNX Runtime refuses to read hard-linked files.
    LiftSubgraphInitializersToMainGraphPass()(model)
    _name_axes(model, signature)
    if locale:
        _set_locale(model, locale)
    model.ir_version = max(model.ir_version or 0, _MIN_IR_VERSION)
    return _bytes(model) - before


@contextmanager
def fold_constants(component: str, model: ir.Model, constant_bytes: int) -> Iterator[tuple[ir.Model, ConstantFolding]]:
    """Yields the graph as ONNX Runtime optimizes it, with the weights that the image will need; valid within the ``with`` block.

    Quantized graphs are not folded, since the result depends on the processor, nor are large ones.
    """
    published = _bytes_by_content(model)
    size = sum(published.values())
    if size > _MAX_FOLDED_BYTES or any(
        node.op_type in _QUANTIZATION_TYPES for graph in model.graphs() for node in graph
    ):
        yield model, ConstantFolding(size, constant_bytes)
        return
    with TemporaryDirectory(prefix="fold-") as folder:
        path = Path(folder, "model.onnx")
        save_with_external_data(model, path, "weights.data")
        with optimize_graph(path, component, [CPU]) as optimized:
            LiftSubgraphInitializersToMainGraphPass()(optimized)
            kept = _bytes_by_content(optimized)
            left_out = sum(length for content, length in published.items() if content not in kept)
            yield (optimized if left_out else model), ConstantFolding(size, constant_bytes, left_out)


def _match_inputs(model: ir.Model, signature: Signature) -> None:
    """An input with a default value becomes a constant if the signature lacks it; otherwise it loses the default."""
    served = {tensor.name for tensor in signature.inputs}
    initializers = model.graph.initializers
    for value in [value for value in model.graph.inputs if value.name in initializers]:
        if value.name in served:
            del initializers[str(value.name)]
            value.const_value = None
        else:
            model.graph.inputs.remove(value)


def _name_axes(model: ir.Model, signature: Signature) -> None:
    """ONNX Runtime reuses memory by axis names, so an ambiguous name must not stand for two lengths."""
    tensors = {tensor.name: tensor for tensor in (*signature.inputs, *signature.outputs)}
    for value in (*model.graph.inputs, *model.graph.outputs):
        tensor = tensors.get(str(value.name))
        if tensor is not None and value.shape is not None and tensor.shape is not None:
            value.shape = ir.Shape(tensor.shape)
    for graph in model.graphs():
        for value in (output for node in graph for output in node.outputs):
            if value.shape is not None and not value.is_graph_output():
                value.shape = ir.Shape([_unambiguous(axis) for axis in value.shape])


def _unambiguous(axis: int | ir.SymbolicDim) -> int | str | None:
    if isinstance(axis, int):
        return axis
    return axis.value if axis.value is not None and is_named(axis.value) else None


def _set_locale(model: ir.Model, locale: str) -> None:
    for graph in model.graphs():
        for node in graph:
            if node.op_type == "StringNormalizer":
                node.attributes["locale"] = ir.AttrString("locale", locale)


def _bytes(model: ir.Model) -> int:
    return sum(
        value.const_value.nbytes
        for graph in model.graphs()
        for value in graph.initializers.values()
        if value.const_value is not None and value.const_value.dtype != ir.DataType.STRING
    )


def _bytes_by_content(model: ir.Model) -> Mapping[bytes, int]:
    """Sizes of the large initializers by the sha256 of their content."""
    arrays = large_initializers(model).values()
    return {hashlib.sha256(flat_bytes(array).data).digest(): array.nbytes for array in arrays}
