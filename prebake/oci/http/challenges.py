"""``WWW-Authenticate``: the credentials that a registry asks for (RFC 9110 section 11.6.1)."""

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
    """Every challenge of every header, in order; text that cannot be parsed is skipped."""
    return [challenge for header in headers for challenge in _read_header(header)]


def _read_header(header: str) -> list[Challenge]:
    challenges: list[tuple[str, dict[str, str]]] = []
    for name, quoted, unquoted, scheme in _PART.findall(header):
        if scheme:
            challenges.append((scheme.lower(), {}))
        elif challenges:
            challenges[-1][1][name.lower()] = unquoted or re.sub(r"\\(.)", r"\1", quoted)
    return [Challenge(scheme, parameters) for scheme, parameters in challenges]
