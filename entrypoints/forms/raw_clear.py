"""An operator's request that the model process gives back memory, as the server process passes it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class RawClear(NamedTuple):
    """``body`` is empty, as requests have one. ``context``: as in ``RawRequest``."""

    body: bytes = b""
    context: Mapping[str, str] = {}
