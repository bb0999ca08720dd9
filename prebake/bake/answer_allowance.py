"""What the warm-up's answer may differ by, if export.py does not say it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from prebake.bake.allowances import SHARE, Allowance

_FULL_SCALE = 1.0


def allow_answer(answer: bytes, media_type: str, components: Sequence[Sequence[Allowance]]) -> float:
    """The share that a graph may be off by, times the largest number of the answer: that of its fractions for JSON, full scale
    for sound. Whole numbers of JSON are counts and ids, which have no rounding error.

    components: what is allowed for the outputs of each graph. Its share is the largest tolerance over the largest number; the
    largest share counts.
    """
    relative = max([SHARE, *(_share(outputs) for outputs in components)])
    return relative * (_largest(answer) if "json" in media_type else _FULL_SCALE)


def _share(outputs: Sequence[Allowance]) -> float:
    scale = max((each.scale for each in outputs), default=0.0)
    return max(each.tolerance for each in outputs) / scale if scale else 0.0


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
