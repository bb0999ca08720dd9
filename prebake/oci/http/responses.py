"""Responses of registries, and failed requests: errors that last are told apart from transient ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from prebake.errors import PrebakeError
from prebake.io.http_errors import HTTPX_ERRORS, RequestFailure, certificate_problem, classify, explain, retry_after
from prebake.io.retry import TransientError
from prebake.oci.errors import denied, no_tls, unreachable, untrusted, unusable

SUCCESS = tuple(range(200, 300))
"""Registries answer 200, 201, 202 and 204 where the specification has another of these."""

_MAX_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True)
class RegistryResponse:
    """A response with its whole body. Headers and body are not in ``repr``, since a token server's hold a token."""

    method: str
    url: str
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def codes(self) -> frozenset[str]:
        """The registry's own error codes (distribution specification, "Error Codes")."""
        return frozenset(str(error.get("code", "")) for error in _read_errors(self.body))

    @property
    def reason(self) -> str:
        """Method, path, status, and the registry's own message. The query is left out: it may be signed."""
        outcome = f"{self.method} {urlsplit(self.url).path} answers {self.status}"
        messages = [f"{error.get('code', '')}: {error.get('message', '')}" for error in _read_errors(self.body)]
        text = " ".join("; ".join(messages).split())[:_MAX_MESSAGE_CHARACTERS]
        return f"{outcome} ({text})" if text else outcome


def read_response(response: httpx.Response, limit: int, host: str) -> RegistryResponse:
    """Read the whole body. Raises RegistryError if it has more than ``limit`` bytes."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > limit:
            path = urlsplit(str(response.url)).path
            raise unusable(host, f"{response.request.method} {path} answers more than {limit} bytes")
    return RegistryResponse(
        method=response.request.method,
        url=str(response.url),
        status=response.status_code,
        headers=response.headers,
        body=bytes(body),
    )


def require_status(response: RegistryResponse, allowed: tuple[int, ...], host: str) -> RegistryResponse:
    """Raises TransientError for 408, 429 and 5xx, RegistryDenied for 401 and 403, RegistryError for all other statuses that are
    not ``allowed``."""
    if response.status in allowed:
        return response
    if response.status in (408, 429) or (response.status >= 500 and response.status != 501):
        raise TransientError(response.reason, to_error=unusable, after=retry_after(response.headers))
    if response.status in (401, 403):
        raise denied(host, response.reason)
    raise unusable(host, response.reason)


@contextmanager
def translate_errors(host: str) -> Iterator[None]:
    """httpx's exceptions as TransientError, or as RegistryError or RegistryUnreachable if they last."""
    try:
        yield
    except HTTPX_ERRORS as error:
        raise _translate(host, error) from error


def _read_errors(body: bytes) -> list[dict[str, Any]]:
    try:
        errors = json.loads(body).get("errors") or []
        return [error for error in errors if isinstance(error, dict)]
    except (ValueError, AttributeError, TypeError):
        return []


def _translate(host: str, error: Exception) -> PrebakeError | TransientError:
    match failure := classify(error):
        case RequestFailure.INVALID_URL | RequestFailure.MALFORMED:
            return unusable(host, f"it names a URL that cannot be requested ({error})")
        case RequestFailure.UNTRUSTED:
            return untrusted(host, certificate_problem(error))
        case RequestFailure.NOT_TLS:
            return no_tls(host)
    return TransientError(explain(failure.value, error), to_error=lambda _, reasons: unreachable(host, reasons))
