"""How httpx's exceptions are told apart, and what Retry-After says."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from prebake.http_failures import FAILURES, Failure, classify, retry_after


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
        (httpx.UnsupportedProtocol("ftp"), Failure.NOWHERE),
        (httpx.TooManyRedirects("20"), Failure.NOWHERE),
        (httpx.InvalidURL("no host"), Failure.NOWHERE),
        (httpx.LocalProtocolError("a line's end in a header"), Failure.MALFORMED),
        (distrust(), Failure.UNTRUSTED),
        (tls_error("WRONG_VERSION_NUMBER"), Failure.PLAIN),
        (tls_error("HTTP_REQUEST"), Failure.PLAIN),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), Failure.UNCONNECTED),
        (httpx.ReadTimeout(""), Failure.STALLED),
        (httpx.WriteTimeout(""), Failure.STALLED),
        (httpx.ConnectTimeout(""), Failure.UNCONNECTED),
        (httpx.ReadError(""), Failure.BROKEN),
        (httpx.WriteError(""), Failure.BROKEN),
        (httpx.RemoteProtocolError(""), Failure.BROKEN),
        (httpx.ConnectError("refused"), Failure.UNCONNECTED),
        (httpx.ProxyError("403"), Failure.UNCONNECTED),
        (httpx.DecodingError("zlib"), Failure.UNCONNECTED),
    ],
)
def test_failures_are_told_apart(error: Exception, failure: Failure) -> None:
    assert isinstance(error, FAILURES)
    assert classify(error) is failure


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), (" 0 ", 0.0), ("soon", None), ("-1", None), ("", None)])
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert retry_after(httpx.Headers({"retry-after": text})) == seconds


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert retry_after({"Retry-After": later}) == pytest.approx(60.0, abs=2.0)
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after({}) is None
