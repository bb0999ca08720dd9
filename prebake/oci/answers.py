"""What servers answer, and every way in which they do not: told apart by whether it may pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from prebake.errors import PrebakeError
from prebake.http_failures import FAILURES, Failure, classify, distrust, explain, retry_after
from prebake.oci.errors import denied, plain, unreachable, untrusted, unusable
from prebake.patience import Passing

SUCCESS = tuple(range(200, 300))
"""Registries answer 200, 201, 202 and 204 where the specification has another of them."""

_LONGEST_TEXT = 500


@dataclass(frozen=True)
class Answer:
    """A response, read whole. Headers and body stay out of ``repr``: a token server's hold a token."""

    method: str
    url: str
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def codes(self) -> frozenset[str]:
        """The registry's own error codes (distribution specification, "Error Codes")."""
        return frozenset(str(fault.get("code", "")) for fault in _faults(self.body))

    @property
    def reason(self) -> str:
        """What was asked, the status, and what the registry says itself. No query: it may be signed."""
        asked = f"{self.method} {urlsplit(self.url).path} answers {self.status}"
        said = "; ".join(f"{fault.get('code', '')}: {fault.get('message', '')}" for fault in _faults(self.body))
        return f"{asked} ({' '.join(said.split())[:_LONGEST_TEXT]})" if said else asked


def read_answer(response: httpx.Response, limit: int, host: str) -> Answer:
    """Raises RegistryError where there are more than ``limit`` bytes."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > limit:
            path = urlsplit(str(response.url)).path
            raise unusable(host, f"{response.request.method} {path} answers more than {limit} bytes")
    return Answer(response.request.method, str(response.url), response.status_code, response.headers, bytes(body))


def require(answer: Answer, allowed: tuple[int, ...], host: str) -> Answer:
    """Raises Passing for what may pass (408, 429, 5xx), RegistryDenied for 401 and 403, RegistryError for the rest."""
    if answer.status in allowed:
        return answer
    if answer.status in (408, 429) or (answer.status >= 500 and answer.status != 501):
        raise Passing(answer.reason, becomes=unusable, after=retry_after(answer.headers))
    if answer.status in (401, 403):
        raise denied(host, answer.reason)
    raise unusable(host, answer.reason)


@contextmanager
def named_failures(host: str) -> Iterator[None]:
    """httpx's exceptions as ours: what may pass as Passing, what will not as RegistryError or RegistryUnreachable."""
    try:
        yield
    except FAILURES as error:
        raise _named(host, error) from error


def _faults(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body).get("errors") or []
        return [fault for fault in found if isinstance(fault, dict)]
    except (ValueError, AttributeError, TypeError):
        return []


def _named(host: str, error: Exception) -> PrebakeError | Passing:
    match failure := classify(error):
        case Failure.NOWHERE | Failure.MALFORMED:
            return unusable(host, f"it names a place that cannot be asked ({error})")
        case Failure.UNTRUSTED:
            return untrusted(host, distrust(error))
        case Failure.PLAIN:
            return plain(host)
    return Passing(explain(failure.value, error), becomes=lambda _, reasons: unreachable(host, reasons))
