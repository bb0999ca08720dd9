"""Integer weights, by ONNX Runtime's own quantisers: eight bits for matrix products, convolutions and tables, four for matrix
products in blocks. What is chosen are operators that read a constant matrix of fp32; the rest computes as it did."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from prebake.bake import graph_files
from prebake.bake.arrays import Array
from prebake.bake.component import Precision
from prebake.bake.errors import BakeError
from prebake.bake.matrices import is_matrix, name_nodes, readers, split_gemms
from prebake.bake.repoint import SMALLEST

Sample = Mapping[str, Array]
_BITS = 4
_PRODUCT, _TABLE, _CONVOLUTION = ("MatMul", 1), ("Gather", 0), ("Conv", 1)


@dataclass(frozen=True)
class Operators:
    """Those that read a constant matrix of fp32: how many were quantised, and how many were left, by type."""

    quantised: Mapping[str, int]
    left: Mapping[str, int]


@contextmanager
def quantised(
    component: str, model: ir.Model, precision: Precision, samples: Sequence[Sample], room: Path
) -> Iterator[tuple[ir.Model, Operators]]:
    """``model`` with integer weights while the block lasts, and what became of its operators; ``room`` is for files meanwhile.

    samples: inputs by name, for static int8 alone. Raises BakeError where nothing can be quantised, or ONNX Runtime cannot.
    """
    name_nodes(model)
    split_gemms(model)
    before = readers(model)
    chosen = {node.name or "" for node in _chosen(model, precision)}
    if not chosen:
        raise _nothing(component, precision, "no operator that can be reads a constant matrix of fp32")
    with TemporaryDirectory(prefix=".quantise-", dir=room) as folder:
        source = Path(folder, "fp32.onnx")
        graph_files.save_apart(model, source, "fp32.data")
        try:
            path = _quantise(source, precision, chosen, samples)
        except Exception as error:  # ONNX Runtime's quantisers raise whatever comes
            raise BakeError(
                f"{component}: ONNX Runtime cannot make {precision.type} of it: {type(error).__name__}: {error}",
                next_action="Say another precision for it in image.yaml.",
            ) from error
        result = graph_files.load(path)
        RemoveUnusedNodesPass()(result)
        graph_files.sort_initialisers(result)
        operators = _compare(before, chosen, result)
        if not operators.quantised:
            raise _nothing(component, precision, f"ONNX Runtime left all of {dict(operators.left)}")
        yield result, operators


def _nothing(component: str, precision: Precision, why: str) -> BakeError:
    return BakeError(
        f"{component}: {precision.type} finds nothing to quantise: {why}.",
        next_action="Say another precision for it in image.yaml.",
    )


def _chosen(model: ir.Model, precision: Precision) -> Iterator[ir.Node]:
    kinds = dict([_PRODUCT])
    kinds |= dict([_TABLE]) if precision.embeddings else {}
    kinds |= dict([_CONVOLUTION]) if precision.type == "int8" and precision.activations == "static" else {}
    for node in model.graph:
        weight = node.inputs[kinds[node.op_type]] if node.domain == "" and node.op_type in kinds else None
        if is_matrix(weight) and (node.op_type != "MatMul" or _rank(weight) == 2):
            yield node


def _rank(value: ir.Value | None) -> int:
    return len(value.const_value.shape) if value is not None and value.const_value is not None else 0


def _quantise(source: Path, precision: Precision, chosen: set[str], samples: Sequence[Sample]) -> Path:
    target = source.with_name(f"{precision.type}.onnx")
    with _quiet():
        if precision.type == "int4":
            _four_bits(source, target, precision, chosen)
        elif precision.activations == "static":
            _static(source, target, precision, chosen, samples)
        else:
            _dynamic(source, target, precision, chosen, ["MatMul", "Gather"])
    return target


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantisers set up the root logger as they are imported, and ask for preparations that would move weights."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        logging.disable(logging.WARNING)
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers[:] = handlers
        root.setLevel(level)


def _dynamic(source: Path, target: Path, precision: Precision, chosen: set[str], kinds: list[str]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=kinds,
        nodes_to_quantize=sorted(chosen),
        per_channel=precision.per_channel,
        reduce_range=precision.reduce_range,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )


def _static(source: Path, target: Path, precision: Precision, chosen: set[str], samples: Sequence[Sample]) -> None:
    """Products and tables give fp32: on all-MiniLM-L6-v2 eight bits for what they give nearly trebled the error."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        source,
        target,
        Samples(samples),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gather", "MatMul"],
        nodes_to_quantize=sorted(chosen),
        per_channel=precision.per_channel,
        reduce_range=precision.reduce_range,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gather", "MatMul"]},
    )


def _four_bits(source: Path, target: Path, precision: Precision, chosen: set[str]) -> None:
    """Tables stay in whole bytes: safetensors has no smaller type, and a lookup reads few of them."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantiser = MatMulNBitsQuantizer(
        str(source),
        bits=_BITS,
        block_size=precision.block,
        is_symmetric=precision.symmetric,
        op_types_to_quantize=("MatMul",),
        nodes_to_exclude=[
            node.name for node in onnx.load(str(source), load_external_data=False).graph.node if node.name not in chosen
        ],
    )
    quantiser.process()
    proto = quantiser.model.model
    once = {each.name: each for each in proto.graph.initializer}  # a matrix of two products is there twice
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(once.values())
    products = target.with_name("products.onnx")
    onnx.save_model(proto, str(products), save_as_external_data=True, location="products.data", size_threshold=SMALLEST)
    tables = {node.name for node in proto.graph.node if node.op_type == "Gather"} & chosen
    if tables:
        _dynamic(products, target, precision, tables, ["Gather"])
    else:
        products.rename(target)


class Samples:
    """A calibration set as ONNX Runtime asks for it (its ``CalibrationDataReader``)."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._left = iter(samples)

    def get_next(self) -> Sample | None:
        return next(self._left, None)


def _compare(before: Mapping[str, str], chosen: set[str], result: ir.Model) -> Operators:
    after = readers(result)
    left = {name: kind for name, kind in before.items() if name in after}
    return Operators(
        dict(sorted(Counter(before[name] for name in chosen if name not in left).items())),
        dict(sorted(Counter(left.values()).items())),
    )
