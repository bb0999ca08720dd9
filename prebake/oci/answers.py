"""What servers answer, and every way in which they do not: told apart by whether it may pass."""

from __future__ import annotations

import email.utils
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from prebake.oci.errors import RegistryUnreachable, denied, unreachable, unusable
from prebake.oci.patience import Passing

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


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, or a date (RFC 9110 section 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@contextmanager
def named_failures(host: str) -> Iterator[None]:
    """httpx's exceptions as ours: what may pass as Passing, what will not as RegistryError or RegistryUnreachable."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL, httpx.LocalProtocolError) as error:
        raise unusable(host, f"it names a place that cannot be asked ({error})") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        lasting = _tls_fault(host, error)
        if lasting is not None:
            raise lasting from error
        reason = f"{_kind(error)} ({str(error) or type(error).__name__})"
        raise Passing(reason, becomes=lambda _, reasons: unreachable(host, reasons)) from error


def _faults(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body).get("errors") or []
        return [fault for fault in found if isinstance(fault, dict)]
    except (ValueError, AttributeError, TypeError):
        return []


def _kind(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return "no byte moves any more"
    broken = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
    return "the connection broke" if isinstance(error, broken) else "no connection"


def _tls_fault(host: str, error: BaseException | None) -> RegistryUnreachable | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        return RegistryUnreachable(
            f"{host}: its certificate is not trusted: {error.verify_message}.",
            next_action="set SSL_CERT_FILE to a bundle that holds the certificate of your proxy or registry",
        )
    if isinstance(error, ssl.SSLError) and error.reason in (
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "RECORD_LAYER_FAILURE",
    ):
        return RegistryUnreachable(
            f"{host}: it does not speak https.",
            next_action=f"if it is meant to speak plain http: PREBAKE_INSECURE_REGISTRIES={host}",
        )
    return None
