"""Failed HTTP requests: httpx's exceptions by their cause, and the wait that a server asks for."""

from __future__ import annotations

import email.utils
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

import httpx

HTTPX_ERRORS = (httpx.TransportError, httpx.DecodingError, httpx.TooManyRedirects, httpx.InvalidURL)
"""The exceptions that ``classify`` knows."""

_INVALID_URL = (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL)
_BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
}  # OpenSSL's reasons if the server has no TLS


class RequestFailure(Enum):
    """Causes of failed requests, in words. Only the last three may be transient; the caller decides which are tried again."""

    INVALID_URL = "a URL that cannot be requested"
    MALFORMED = "a request that cannot be sent"
    UNTRUSTED = "a certificate that is not trusted"
    NOT_TLS = "no https"
    TIMEOUT = "the server stopped sending bytes"
    BROKEN = "the connection broke"
    UNCONNECTED = "no connection"


def classify(error: Exception) -> RequestFailure:
    """The cause of one of HTTPX_ERRORS."""
    if isinstance(error, _INVALID_URL):
        return RequestFailure.INVALID_URL
    if isinstance(error, httpx.LocalProtocolError):
        return RequestFailure.MALFORMED
    tls_error = _find_tls_error(error)
    if isinstance(tls_error, ssl.SSLCertVerificationError):
        return RequestFailure.UNTRUSTED
    if tls_error is not None and tls_error.reason in _NOT_TLS:
        return RequestFailure.NOT_TLS
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return RequestFailure.TIMEOUT
    return RequestFailure.BROKEN if isinstance(error, _BROKEN) else RequestFailure.UNCONNECTED


def certificate_problem(error: Exception) -> str:
    """OpenSSL's reason why it does not trust a certificate, if ``error`` is UNTRUSTED."""
    return str(getattr(_find_tls_error(error), "verify_message", ""))


def explain(words: str, error: Exception) -> str:
    """``words`` and the exception's own message."""
    return f"{words} ({str(error) or type(error).__name__})"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of Retry-After, a number or a date (RFC 9110 section 10.2.3); None if it is missing or cannot be read."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _find_tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """OpenSSL's error behind another, if there is one."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
