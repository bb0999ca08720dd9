"""``WWW-Authenticate``: what a registry wants to see (RFC 9110 section 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  (RFC 9110's word)
_PART = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))|({_TOKEN})')


@dataclass(frozen=True)
class Challenge:
    """``scheme`` and the parameters' names are lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge of every header, in their order; what cannot be read is left out."""
    return [challenge for header in headers for challenge in _of_header(header)]


def _of_header(header: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    for name, quoted, plain, scheme in _PART.findall(header):
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            found[-1][1][name.lower()] = plain or re.sub(r"\\(.)", r"\1", quoted)
    return [Challenge(*each) for each in found]
