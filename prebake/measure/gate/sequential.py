"""A sign test that may be looked at after every value, and an interval of the median that may be, too.

A test that is repeated after every pair and stopped at the first result that pleases is wrong more often than its level says.
This one is not. Its evidence against "the median is at most the limit" is a martingale under that hypothesis, so by Ville's
inequality the probability that it ever reaches ``CLEAR`` is at most 1 / ``CLEAR``, however often it is looked at. It takes
nothing for granted about the values but that they are independent: no normal noise, no equal variances, no finite mean.

The evidence is the likelihood of the signs if each value lies above the limit with a probability p, uniformly between 1/2 and 1,
over their likelihood with p = 1/2 (Robbins 1970, "Statistical methods related to the law of the iterated logarithm").
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from enum import Enum
from fractions import Fraction
from functools import cache

CLEAR = 40
"""Evidence that is enough: a wrong verdict has a probability of at most 1 / 40 on either side."""


class Side(Enum):
    """The side of the limit on which the median of all future values lies."""

    ABOVE = "above"
    BELOW = "below"
    UNCLEAR = "unclear"


@cache
def evidence(count: int, others: int) -> Fraction:
    """The evidence that a value lies on a side with a probability above 1/2, if ``count`` values were on it and ``others`` not.

    It is ``sum(C(n + 1, j) for j in 0..count) / ((n + 1) * C(n, count))`` for ``n = count + others``: the integral of the
    likelihood ratio over p in closed form.
    """
    total = count + others
    return Fraction(sum(math.comb(total + 1, j) for j in range(count + 1)), (total + 1) * math.comb(total, count))


def judge(values: Sequence[float], limit: float) -> Side:
    """The side of ``limit`` on which the median lies, by these values. A value that equals the limit speaks for neither side."""
    above = sum(value > limit for value in values)
    below = sum(value < limit for value in values)
    if evidence(above, len(values) - above) >= CLEAR:
        return Side.ABOVE
    if evidence(below, len(values) - below) >= CLEAR:
        return Side.BELOW
    return Side.UNCLEAR


@cache
def least_clear(total: int) -> int | None:
    """The least number of ``total`` values that makes a side clear; None if even all of them do not."""
    return next((count for count in range(total + 1) if evidence(count, total - count) >= CLEAR), None)


LEAST_VALUES = next(total for total in itertools.count(1) if least_clear(total) is not None)
"""With fewer values (8), no side is ever clear."""


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The limits that ``judge`` leaves unclear, from the least to the largest: a 95 % interval of the median at every number of
    values at once. Its ends are values; they are infinite for fewer than eight values."""
    count = least_clear(len(values))
    if count is None:
        return -math.inf, math.inf
    ordered = sorted(values)
    return ordered[-count], ordered[count - 1]
