"""Quantizes weights with ONNX Runtime's quantizers: int8 for MatMul, Conv and embeddings (Gather), block-wise int4 for MatMul.

Only nodes that read a constant fp32 matrix are quantized."""

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

from prebake.bake.errors import BakeError
from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.initializers import MIN_EXTERNAL_BYTES
from prebake.bake.precision.matmul_weights import find_matrix_readers, is_constant_matrix, name_nodes, split_gemms
from prebake.bake.weights.numpy_arrays import Array
from prebake.documents.component import Precision

Sample = Mapping[str, Array]
_BITS = 4
_OTHER_PRECISION = "choose another precision for the component in image.yaml"
_WEIGHT_INPUT = {"MatMul": 1, "Gather": 0, "Conv": 1}
"""By operator type, the input that is the weight. The weight of Gather is an embedding."""


@dataclass(frozen=True)
class QuantizedOperators:
    """By operator type, the numbers of nodes with a constant fp32 matrix that were quantized, and that were left in fp32."""

    quantized: Mapping[str, int]
    left: Mapping[str, int]


@contextmanager
def quantize_weights(
    component: str, model: ir.Model, precision: Precision, samples: Sequence[Sample], folder: Path
) -> Iterator[tuple[ir.Model, QuantizedOperators]]:
    """Yields the graph with integer weights, valid within the ``with`` block, and which operators were quantized.

    samples: calibration inputs by name, for static int8. folder: for temporary files.
    Raises BakeError if no operator can be quantized, or if ONNX Runtime fails.
    """
    name_nodes(model)
    split_gemms(model)
    before = find_matrix_readers(model)
    selected = {node.name or "" for node in _select_nodes(model, precision)}
    if not selected:
        raise _nothing_quantized(component, precision, "no supported operator reads a constant fp32 matrix")
    with TemporaryDirectory(prefix=".quantize-", dir=folder) as temporary:
        source = Path(temporary, "fp32.onnx")
        onnx_files.save_with_external_data(model, source, "fp32.data")
        try:
            path = _quantize(source, precision, selected, samples)
        except Exception as error:  # ONNX Runtime's quantizers raise any exception
            raise BakeError(
                f"{component}: ONNX Runtime cannot quantize the graph to {precision.type}: {type(error).__name__}: {error}",
                next_action=_OTHER_PRECISION,
            ) from error
        result = onnx_files.load(path)
        RemoveUnusedNodesPass()(result)
        onnx_files.sort_initializers(result)
        operators = _count_operators(before, selected, result)
        if not operators.quantized:
            raise _nothing_quantized(component, precision, f"ONNX Runtime skipped all of {dict(operators.left)}")
        yield result, operators


def _nothing_quantized(component: str, precision: Precision, why: str) -> BakeError:
    return BakeError(
        f"{component}: the graph has nothing to quantize to {precision.type}: {why}.", next_action=_OTHER_PRECISION
    )


def _select_nodes(model: ir.Model, precision: Precision) -> Iterator[ir.Node]:
    types = ["MatMul"]
    types += ["Gather"] if precision.embeddings else []
    types += ["Conv"] if precision.type == "int8" and precision.activations == "static" else []
    for node in model.graph:
        selected = node.domain == "" and node.op_type in types
        weight = node.inputs[_WEIGHT_INPUT[node.op_type]] if selected else None
        if is_constant_matrix(weight) and (node.op_type != "MatMul" or _rank(weight) == 2):
            yield node


def _rank(value: ir.Value | None) -> int:
    return len(value.const_value.shape) if value is not None and value.const_value is not None else 0


def _quantize(source: Path, precision: Precision, selected: set[str], samples: Sequence[Sample]) -> Path:
    target = source.with_name(f"{precision.type}.onnx")
    with _quiet():
        if precision.type == "int4":
            _quantize_int4(source, target, precision, selected)
        elif precision.activations == "static":
            _quantize_static(source, target, precision, selected, samples)
        else:
            _quantize_dynamic(source, target, precision, selected, ["MatMul", "Gather"])
    return target


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizers configure the root logger on import, and advise preprocessing that would move weights."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        logging.disable(logging.WARNING)
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers[:] = handlers
        root.setLevel(level)


def _quantize_dynamic(source: Path, target: Path, precision: Precision, selected: set[str], types: list[str]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=types,
        nodes_to_quantize=sorted(selected),
        per_channel=precision.per_channel,
        reduce_range=precision.reduce_range,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )


def _quantize_static(
    source: Path, target: Path, precision: Precision, selected: set[str], samples: Sequence[Sample]
) -> None:
    """Outputs of MatMul and Gather stay in fp32: quantizing them nearly tripled the error of all-MiniLM-L6-v2."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        source,
        target,
        CalibrationReader(samples),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gather", "MatMul"],
        nodes_to_quantize=sorted(selected),
        per_channel=precision.per_channel,
        reduce_range=precision.reduce_range,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gather", "MatMul"]},
    )


def _quantize_int4(source: Path, target: Path, precision: Precision, selected: set[str]) -> None:
    """Embeddings get int8: safetensors has no smaller dtype, and a lookup reads only a few rows."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        str(source),
        bits=_BITS,
        block_size=precision.block_size,
        is_symmetric=precision.symmetric,
        op_types_to_quantize=("MatMul",),
        nodes_to_exclude=[
            node.name
            for node in onnx.load(str(source), load_external_data=False).graph.node
            if node.name not in selected
        ],
    )
    quantizer.process()
    proto = quantizer.model.model
    # A matrix that two MatMul nodes share occurs twice.
    unique = {initializer.name: initializer for initializer in proto.graph.initializer}
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(unique.values())
    matmul = target.with_name("matmul.onnx")
    onnx.save_model(
        proto, str(matmul), save_as_external_data=True, location="matmul.data", size_threshold=MIN_EXTERNAL_BYTES
    )
    embeddings = {node.name for node in proto.graph.node if node.op_type == "Gather"} & selected
    if embeddings:
        _quantize_dynamic(matmul, target, precision, embeddings, ["Gather"])
    else:
        matmul.rename(target)


class CalibrationReader:
    """A calibration set with the interface of ONNX Runtime's ``CalibrationDataReader``."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> Sample | None:
        return next(self._samples, None)


def _count_operators(before: Mapping[str, str], selected: set[str], result: ir.Model) -> QuantizedOperators:
    after = find_matrix_readers(result)
    left = {name: kind for name, kind in before.items() if name in after}
    return QuantizedOperators(
        dict(sorted(Counter(before[name] for name in selected if name not in left).items())),
        dict(sorted(Counter(left.values()).items())),
    )
