"""How httpx's exceptions are told apart, and what Retry-After says."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from prebake.io.http_errors import HTTPX_ERRORS, RequestFailure, classify, retry_after


def tls_error(reason: str) -> httpx.ConnectError:
    """As httpx raises it: OpenSSL's own lies two deep."""
    fault, between, error = ssl.SSLError(1, reason), OSError(reason), httpx.ConnectError(reason)
    fault.reason = reason
    between.__context__, error.__cause__ = fault, between
    return error


def distrust() -> httpx.ConnectError:
    error = httpx.ConnectError("self-signed certificate")
    error.__cause__ = ssl.SSLCertVerificationError(1, "self-signed certificate")
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.UnsupportedProtocol("ftp"), RequestFailure.INVALID_URL),
        (httpx.TooManyRedirects("20"), RequestFailure.INVALID_URL),
        (httpx.InvalidURL("no host"), RequestFailure.INVALID_URL),
        (httpx.LocalProtocolError("a line's end in a header"), RequestFailure.MALFORMED),
        (distrust(), RequestFailure.UNTRUSTED),
        (tls_error("WRONG_VERSION_NUMBER"), RequestFailure.NOT_TLS),
        (tls_error("HTTP_REQUEST"), RequestFailure.NOT_TLS),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), RequestFailure.UNCONNECTED),
        (httpx.ReadTimeout(""), RequestFailure.TIMEOUT),
        (httpx.WriteTimeout(""), RequestFailure.TIMEOUT),
        (httpx.ConnectTimeout(""), RequestFailure.UNCONNECTED),
        (httpx.ReadError(""), RequestFailure.BROKEN),
        (httpx.WriteError(""), RequestFailure.BROKEN),
        (httpx.RemoteProtocolError(""), RequestFailure.BROKEN),
        (httpx.ConnectError("refused"), RequestFailure.UNCONNECTED),
        (httpx.ProxyError("403"), RequestFailure.UNCONNECTED),
        (httpx.DecodingError("zlib"), RequestFailure.UNCONNECTED),
    ],
)
def test_failures_are_told_apart(error: Exception, failure: RequestFailure) -> None:
    assert isinstance(error, HTTPX_ERRORS)
    assert classify(error) is failure


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), (" 0 ", 0.0), ("soon", None), ("-1", None), ("", None)])
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert retry_after(httpx.Headers({"retry-after": text})) == seconds


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert retry_after({"Retry-After": later}) == pytest.approx(60.0, abs=2.0)
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after({}) is None
