"""What the warm-up's answer may differ by, if export.py does not say it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from prebake.bake.allowances import SHARE, Allowance

_FULL_SCALE = 1.0


def allow_answer(answer: bytes, media_type: str, outputs: Sequence[Allowance]) -> float:
    """The largest relative tolerance of the graphs' ``outputs``, times the largest number of the answer: that of its fractions
    for JSON, full scale for sound. Whole numbers of JSON are counts and ids, which have no rounding error."""
    relative = max((each.relative for each in outputs), default=SHARE)
    return relative * (_largest(answer) if "json" in media_type else _FULL_SCALE)


def _largest(answer: bytes) -> float:
    try:
        document = json.loads(answer)
    except ValueError:  # which the comparison reports
        return _FULL_SCALE
    return max(_fractions(document), default=_FULL_SCALE)


def _fractions(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _fractions(each)
    elif isinstance(value, float):
        yield abs(value)
