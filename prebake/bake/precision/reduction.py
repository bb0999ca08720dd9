"""Converts a graph to the precision that image.yaml sets for its component."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import onnx_ir as ir

from prebake.bake.errors import BakeError
from prebake.bake.graphs.initializers import large_initializers
from prebake.bake.precision.calibration import missing_calibration, read_calibration
from prebake.bake.precision.half_weights import store_half_weights
from prebake.bake.precision.quantization import Sample, quantize_weights
from prebake.documents.component import HALF_TYPES
from prebake.documents.settings import StageSettings


@dataclass(frozen=True)
class PrecisionReport:
    """Bytes of a graph's weights in fp32 and in its precision. ``quantized`` and ``left``: by operator type, the numbers of nodes
    with a constant fp32 matrix that were quantized and that were not."""

    type: str
    bytes_before: int
    bytes_after: int
    quantized: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


@contextmanager
def reduce_precision(
    settings: StageSettings, component: str, model: ir.Model, samples: Sequence[Sample], folder: Path
) -> Iterator[tuple[ir.Model, PrecisionReport | None]]:
    """Yields the graph in the component's precision, valid within the ``with`` block, and a report; None for fp32.

    samples: calibration inputs for static int8. folder: for temporary files.
    Raises BakeError if no part of the graph can be converted.
    """
    precision = settings.components[component].precision
    if not precision.reduced:
        yield model, None
        return
    before = _fp32_bytes(model)
    if precision.type in HALF_TYPES:
        _store_half(settings, component, model)
        yield model, PrecisionReport(precision.type, before, _bytes(model))
        return
    if precision.calibration:
        samples = read_calibration(settings.image, component, precision.calibration)
    if precision.activations == "static" and not samples:
        raise missing_calibration(component)
    with quantize_weights(component, model, precision, samples, folder) as (quantized, operators):
        report = PrecisionReport(
            type=precision.type,
            bytes_before=before,
            bytes_after=_bytes(quantized),
            quantized=operators.quantized,
            left=operators.left,
        )
        yield quantized, report


def _store_half(settings: StageSettings, component: str, model: ir.Model) -> None:
    """If the graph computes in half precision, torch exported it that way, and nothing remains to do."""
    precision = settings.components[component].precision
    if not settings.keeps_half(component) or store_half_weights(model, precision.type, exact=not precision.derived):
        return
    why = "it has no large weight" if precision.derived else f"no weight is exactly representable in {precision.type}"
    raise BakeError(
        f"{component}: no weight of the graph can be stored in {precision.type}: {why}.",
        next_action="choose another precision in image.yaml, or remove `derived: false` if the published weights have another "
        "precision",
    )


def _bytes(model: ir.Model) -> int:
    return sum(array.nbytes for array in large_initializers(model).values())


def _fp32_bytes(model: ir.Model) -> int:
    """Bytes of the weights in fp32, also if torch exported the graph in half precision."""
    arrays = large_initializers(model).values()
    return sum(array.size * 4 if array.dtype.itemsize == 2 else array.nbytes for array in arrays)
