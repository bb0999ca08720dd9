"""A published graph made ready to be baked: weights as initialisers, inputs as served, folded as it will be optimised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, LiftConstantsToInitializersPass, LiftSubgraphInitializersToMainGraphPass

from entrypoints.shapes import is_named
from prebake.bake.arrays import flat_bytes
from prebake.bake.graph_files import save_apart
from prebake.bake.optimise import optimised
from prebake.bake.provider_options import CPU
from prebake.bake.repoint import large_initialisers
from prebake.bake.signature import Signature

_LEAST_IR = 8
"""Of the graph that is baked. Before 4, initialisers had to be inputs as well."""
_LIFTED = 128
"""Elements from which a Constant becomes an initialiser: of the smallest that are pointed into weight files."""
_LARGEST = 2 << 30
"""Bytes of weights up to which they are folded: it takes three times their room on the disk, and larger networks have matrices,
of which nothing is folded."""
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class Folding:
    """Bytes of the published weights, of those among them that were in Constant nodes, and of those that the baked graph does not
    read and the image leaves out, as optimisation made new ones of them."""

    bytes: int = 0
    constants: int = 0
    left_out: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    def __str__(self) -> str:
        constants = f", {self.constants:,} of them in Constant nodes" if self.constants else ""
        left_out = f"; {self.left_out:,} are folded into others and left out" if self.left_out else ""
        return f"published weights of {self.bytes:,} bytes{constants}{left_out}"


def prepare(model: ir.Model, signature: Signature, locale: str = "") -> int:
    """Inline functions, drop inputs that the signature lacks (the file has values for them), lift Constants and name axes as the
    signature does. Returns the bytes of lifted Constants."""
    if model.functions:
        InlinePass()(model)
    _keep_inputs(model, signature)
    before = _bytes(model)
    LiftConstantsToInitializersPass(lift_all_constants=False, size_limit=_LIFTED)(model)
    LiftSubgraphInitializersToMainGraphPass()(
        model
    )  # within a branch, ONNX Runtime reads no file that has several names
    _name_axes(model, signature)
    if locale:
        _set_locale(model, locale)
    model.ir_version = max(model.ir_version or 0, _LEAST_IR)
    return _bytes(model) - before


@contextmanager
def folded(component: str, model: ir.Model, constants: int) -> Iterator[tuple[ir.Model, Folding]]:
    """``model`` as ONNX Runtime optimises it, while the block lasts: its weights are those that the image will read.

    Quantised graphs stay as they are, since what is made of them depends on the processor; and so do large ones.
    """
    published = _contents(model)
    size = sum(published.values())
    if size > _LARGEST or any(node.op_type in _QUANTISED for graph in model.graphs() for node in graph):
        yield model, Folding(size, constants)
        return
    with TemporaryDirectory(prefix="fold-") as folder:
        path = Path(folder, "model.onnx")
        save_apart(model, path, "weights.data")
        with optimised(path, component, [CPU]) as better:
            LiftSubgraphInitializersToMainGraphPass()(better)
            kept = _contents(better)
            left_out = sum(length for content, length in published.items() if content not in kept)
            yield (better if left_out else model), Folding(size, constants, left_out)


def _keep_inputs(model: ir.Model, signature: Signature) -> None:
    """An input that the signature lacks has its value in the file; one that it has, and that has a value, loses it."""
    asked = {each.name for each in signature.inputs}
    held = model.graph.initializers
    for value in [each for each in model.graph.inputs if each.name in held]:
        if value.name in asked:
            del held[str(value.name)]
            value.const_value = None
        else:
            model.graph.inputs.remove(value)


def _name_axes(model: ir.Model, signature: Signature) -> None:
    """ONNX Runtime reuses memory by the names of axes: one that tells nothing must not stand for two lengths."""
    wanted = {each.name: each for each in (*signature.inputs, *signature.outputs)}
    for value in (*model.graph.inputs, *model.graph.outputs):
        own = wanted.get(str(value.name))
        if own is not None and value.shape is not None and own.shape is not None:
            value.shape = ir.Shape(own.shape)
    for graph in model.graphs():
        for value in (output for node in graph for output in node.outputs):
            if value.shape is not None and not value.is_graph_output():
                value.shape = ir.Shape([_told(axis) for axis in value.shape])


def _told(axis: int | ir.SymbolicDim) -> int | str | None:
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


def _contents(model: ir.Model) -> Mapping[bytes, int]:
    """Bytes of the large initialisers by what is in them."""
    arrays = large_initialisers(model).values()
    return {hashlib.sha256(flat_bytes(array).data).digest(): array.nbytes for array in arrays}
