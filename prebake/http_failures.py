"""What servers say of waiting, and how requests fail: httpx's exceptions told apart by what they mean."""

from __future__ import annotations

import email.utils
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

import httpx

FAILURES = (httpx.TransportError, httpx.DecodingError, httpx.TooManyRedirects, httpx.InvalidURL)
"""The exceptions that ``classify`` knows."""

_NOWHERE = (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL)
_BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_PLAIN = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}  # OpenSSL's reasons, where no TLS comes back


class Failure(Enum):
    """Ways in which a request fails, in words. Only the last three come and go; who asks decides what to try again."""

    NOWHERE = "a place that cannot be asked"
    MALFORMED = "a request that cannot be sent"
    UNTRUSTED = "a certificate that is not trusted"
    PLAIN = "no https"
    STALLED = "no byte moves any more"
    BROKEN = "the connection broke"
    UNCONNECTED = "no connection"


def classify(error: Exception) -> Failure:
    """What one of FAILURES is."""
    if isinstance(error, _NOWHERE):
        return Failure.NOWHERE
    if isinstance(error, httpx.LocalProtocolError):
        return Failure.MALFORMED
    fault = _tls_fault(error)
    if isinstance(fault, ssl.SSLCertVerificationError):
        return Failure.UNTRUSTED
    if fault is not None and fault.reason in _PLAIN:
        return Failure.PLAIN
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return Failure.STALLED
    return Failure.BROKEN if isinstance(error, _BROKEN) else Failure.UNCONNECTED


def distrust(error: Exception) -> str:
    """What OpenSSL has against the certificate, where ``error`` is UNTRUSTED."""
    return str(getattr(_tls_fault(error), "verify_message", ""))


def explain(words: str, error: Exception) -> str:
    """``words``, and what the exception says itself."""
    return f"{words} ({str(error) or type(error).__name__})"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, of a number or a date (RFC 9110 section 10.2.3); None where the header is missing or says nothing."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _tls_fault(error: BaseException | None) -> ssl.SSLError | None:
    """OpenSSL's own error behind another, where there is one."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
