"""The default tolerance of the answer to the warm-up request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from prebake.bake.parity.tolerances import RELATIVE_TOLERANCE, ToleranceBasis

_FULL_SCALE = 1.0


def derive_warmup_tolerance(answer: bytes, media_type: str, components: Sequence[Sequence[ToleranceBasis]]) -> float:
    """The largest relative tolerance of any graph, times the answer's scale: for JSON its largest number with a fraction, for
    audio full scale. Integers in JSON are counts and ids, which have no rounding error.

    components: the tolerance bases of each graph's outputs. A graph's relative tolerance is its largest tolerance over its
        largest number.
    """
    relative = max([RELATIVE_TOLERANCE, *(_relative_tolerance(outputs) for outputs in components)])
    return relative * (_largest(answer) if "json" in media_type else _FULL_SCALE)


def _relative_tolerance(outputs: Sequence[ToleranceBasis]) -> float:
    scale = max((basis.scale for basis in outputs), default=0.0)
    return max(basis.tolerance for basis in outputs) / scale if scale else 0.0


def _largest(answer: bytes) -> float:
    try:
        document = json.loads(answer)
    except ValueError:  # the comparison of answers reports it
        return _FULL_SCALE
    return max(_fractions(document), default=_FULL_SCALE)


def _fractions(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _fractions(item)
    elif isinstance(value, float):
        yield abs(value)
