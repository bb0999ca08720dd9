"""What a gate allows, and the verdict on each limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median
from typing import Any, Literal

from prebake.measure.gate.sequential import Side, judge, median_interval

DEFAULT_REGRESSION = 0.10
"""The regression that is allowed if a baseline is given without a limit."""
Unit = Literal["times", "seconds", "bytes"]


class Verdict(Enum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNCLEAR = "unclear"


_VERDICTS = {Side.ABOVE: Verdict.FAIL, Side.BELOW: Verdict.PASS, Side.UNCLEAR: Verdict.UNCLEAR}


@dataclass(frozen=True)
class Limits:
    """``max_regression`` is a share: 0.1 allows a start that takes 1.1 times as long. ``max_ttfi`` in seconds, ``max_image_size``
    in bytes of the unpacked layers. None: no limit."""

    max_regression: float | None = None
    max_ttfi: float | None = None
    max_image_size: int | None = None

    def document(self) -> dict[str, Any]:
        return {
            "max_regression": self.max_regression,
            "max_ttfi_seconds": self.max_ttfi,
            "max_image_size_bytes": self.max_image_size,
        }


@dataclass(frozen=True)
class Check:
    """One limit, and what was measured. ``interval`` is the 95 % interval of the median; that of an exact value is the value."""

    name: str
    verdict: Verdict
    value: float
    interval: tuple[float, float]
    limit: float
    unit: Unit

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "value": self.value,
            "interval": finite(self.interval),
            "limit": self.limit,
            "unit": self.unit,
        }


def finite(interval: tuple[float, float]) -> list[float | None]:
    """An interval for JSON, which has no infinity: an end without a bound is None."""
    return [None if value in (float("inf"), float("-inf")) else value for value in interval]


def check_median(name: str, values: Sequence[float], limit: float, unit: Unit) -> Check:
    """A limit on the median of a measured figure."""
    return Check(name, _VERDICTS[judge(values, limit)], median(values), median_interval(values), limit, unit)


def check_size(size: int, limit: int) -> Check:
    """A limit on the size of the image, in bytes. It is known without a start."""
    verdict = Verdict.PASS if size <= limit else Verdict.FAIL
    return Check("image size", verdict, size, (size, size), limit, "bytes")


def overall(checks: Sequence[Check]) -> Verdict:
    """``fail`` if one limit is exceeded, else ``unclear`` if one is open."""
    found = {check.verdict for check in checks}
    return next((verdict for verdict in (Verdict.FAIL, Verdict.UNCLEAR) if verdict in found), Verdict.PASS)
