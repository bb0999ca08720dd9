"""A graph in the precision that image.yaml asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import onnx_ir as ir

from prebake.bake.calibration import no_samples, read_samples
from prebake.bake.component import HALVES
from prebake.bake.errors import BakeError
from prebake.bake.halves import keep_half
from prebake.bake.quantise import Sample, quantised
from prebake.bake.repoint import large_initialisers
from prebake.bake.settings import Settings


@dataclass(frozen=True)
class Reduction:
    """What became of a graph's weights: bytes as fp32 and now, and of the operators that read a constant matrix how many were
    quantised and how many left, by type."""

    type: str
    bytes_before: int
    bytes_after: int
    quantised: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


@contextmanager
def reduced(
    settings: Settings, component: str, model: ir.Model, samples: Sequence[Sample], room: Path
) -> Iterator[tuple[ir.Model, Reduction | None]]:
    """``model`` in the component's precision while the block lasts; None where that is fp32.

    Raises BakeError where nothing of it can be brought to that precision.
    """
    precision = settings.components[component].precision
    if not precision.reduced:
        yield model, None
        return
    before = _fp32_bytes(model)
    if precision.type in HALVES:
        _halve(settings, component, model)
        yield model, Reduction(precision.type, before, _bytes(model))
        return
    if precision.calibration:
        samples = read_samples(settings.image, component, precision.calibration)
    if precision.activations == "static" and not samples:
        raise no_samples(component)
    with quantised(component, model, precision, samples, room) as (smaller, operators):
        found = Reduction(precision.type, before, _bytes(smaller), operators.quantised, operators.left)
        yield smaller, found


def _halve(settings: Settings, component: str, model: ir.Model) -> None:
    """Where the graph computes in half precision, torch made it so already."""
    precision = settings.components[component].precision
    if not settings.keeps_half(component) or keep_half(model, precision.type, exact=not precision.derived):
        return
    why = "no weight is large enough" if precision.derived else f"no weight has only {precision.type}'s digits"
    raise BakeError(
        f"{component}: nothing of it can be kept in {precision.type}: {why}.",
        next_action="Say another precision, or drop `derived: false` where the published file is of another type.",
    )


def _bytes(model: ir.Model) -> int:
    return sum(array.nbytes for array in large_initialisers(model).values())


def _fp32_bytes(model: ir.Model) -> int:
    """As fp32, which a graph that torch exported in half precision is no more."""
    arrays = large_initialisers(model).values()
    return sum(array.size * 4 if array.dtype.itemsize == 2 else array.nbytes for array in arrays)
