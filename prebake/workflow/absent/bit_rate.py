"""Bit rates of networks, as text for people."""

from __future__ import annotations

import re

_UNITS = {"mbps": 10**6, "gbps": 10**9}
_LEAST, _MOST = 10**6, 10**12
DEFAULT_NETWORK = 10**9


def parse_network(text: str) -> int:
    """The bits per second of ``1Gbps``, ``2.5Gbps`` or ``100Mbps``. Raises ValueError for anything else, and for a rate below
    1Mbps or above 1000Gbps."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{text!r} is not a network's bit rate such as 1Gbps, 2.5Gbps or 100Mbps")
    rate = round(float(match[1]) * _UNITS[match[2].lower()])
    if not _LEAST <= rate <= _MOST:
        raise ValueError(f"{text!r} is not between {format_network(_LEAST)} and {format_network(_MOST)}")
    return rate


def format_network(bits_per_second: float) -> str:
    """Such as ``1Gbps`` or ``957Mbps``."""
    unit, size = ("Gbps", 10**9) if bits_per_second >= 999.5e6 else ("Mbps", 10**6)
    return f"{bits_per_second / size:.3g}{unit}" if bits_per_second < 1e12 else f"{bits_per_second / size:.0f}{unit}"
