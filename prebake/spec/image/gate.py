"""The limits of ``prebake bench --baseline``, in image.yaml and on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from prebake.spec.image.strict_model import StrictModel

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
SHARE, DURATION, SIZE = rf"^{_NUMBER} ?%$", rf"^{_NUMBER} ?(ms|s|min)$", rf"^{_NUMBER} ?([KMGkmg]i?B)$"
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_share(text: str) -> float:
    """0.1 for ``10%``. Raises ValueError."""
    match = _match(SHARE, text, "a share such as 10%")
    return round(float(match[1]) / 100, 12)


def parse_duration(text: str) -> float:
    """Seconds of ``2s``, ``800ms`` or ``1.5min``. Raises ValueError."""
    match = _match(DURATION, text, "a duration such as 2s or 800ms")
    return _positive(float(match[1]) * _SECONDS[match[2]], text)


def parse_size(text: str) -> int:
    """Bytes of ``1.5GB`` or ``900MiB``. Raises ValueError."""
    match = _match(SIZE, text, "a size such as 1.5GB or 900MiB")
    return int(_positive(float(match[1]) * _BYTES[match[2].upper()], text))


def _match(pattern: str, text: str, expected: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text)
    if match is None:
        raise ValueError(f"{text!r} is not {expected}")
    return match


def _positive(value: float, text: str) -> float:
    if value <= 0:
        raise ValueError(f"{text!r} is not more than 0")
    return value


def _above_zero(parse: Callable[[str], float]) -> Callable[[str], str]:
    """A check of a text whose form the pattern has checked: ``parse`` raises ValueError for 0."""

    def check(text: str) -> str:
        try:
            parse(text)
        except ValueError as error:
            raise PydanticCustomError("limit", "{why}", {"why": str(error)}) from error
        return text

    return check


class GateSpec(StrictModel):
    """Limits of a start. Flags of `prebake bench` replace them."""

    max_regression: Annotated[str, Field(pattern=SHARE)] | None = Field(
        default=None,
        description="How much longer than the baseline's the time to the first answer may be, such as 10%. If it is missing, "
        "`prebake bench --baseline` allows 10%",
    )
    max_ttfi: Annotated[str, Field(pattern=DURATION), AfterValidator(_above_zero(parse_duration))] | None = Field(
        default=None,
        description="The longest time to the first answer, since the request for the container, such as 2s or 800ms",
    )
    max_image_size: Annotated[str, Field(pattern=SIZE), AfterValidator(_above_zero(parse_size))] | None = Field(
        default=None, description="The largest size of the image's unpacked layers, such as 1.5GB or 900MiB"
    )
