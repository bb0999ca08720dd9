"""Downloading one file by HTTP: resumed where an earlier attempt stopped (RFC 9110 section 14), retried, limited in size.

A large file is downloaded in several ranges at once, if its server supports ranges and sends a validator. The first range is
written as it arrives and the others after it, so that a failed attempt keeps no less than one stream would have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

import httpx

from prebake.checkpoints.download.http_ranges import DEFAULT_RANGES, RangePart, Ranges, Readahead
from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.store.checksums import expect_size
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.errors import NoNetwork, PrebakeError, SourceError
from prebake.io.http_errors import HTTPX_ERRORS, RequestFailure, classify, explain, retry_after
from prebake.io.retry import RetryPolicy, RetryState, TransientError, retry

DOWNLOAD_RETRY = RetryPolicy(attempts=6, max_retry_after=120.0, read=30.0)
"""The default of downloads."""

_TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
_SAYS = {
    RequestFailure.TIMEOUT: "the server stopped sending bytes",
    RequestFailure.BROKEN: RequestFailure.BROKEN.value,
}


@dataclass(frozen=True)
class HttpRequest:
    """A file at a URL. ``size``: bytes, if known. ``permission``: the next action in the error if the server refuses access."""

    name: str
    url: str
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    permission: str = "put the host's credentials into ~/.netrc"


def open_client(retry_policy: RetryPolicy, *, netrc: bool = False) -> httpx.Client:
    """A client that uses the proxy and certificate variables of the environment, and with ``netrc`` NETRC or ~/.netrc."""
    timeout = httpx.Timeout(retry_policy.read, connect=retry_policy.connect, pool=None)
    return httpx.Client(timeout=timeout, follow_redirects=True, auth=_netrc() if netrc else None)


@dataclass(frozen=True)
class Transfer:
    """How a file is downloaded: client, retries, ranges and progress."""

    client: httpx.Client
    retry_policy: RetryPolicy
    progress: Progress
    ranges: Ranges = DEFAULT_RANGES


def download(request: HttpRequest, partial: PartialFile, transfer: Transfer) -> None:
    """Complete ``partial``. Raises NoNetwork, SourceError, NoRoom, or ChecksumMismatch for another size."""
    retry_policy, progress, ranges = transfer.retry_policy, transfer.progress, transfer.ranges

    def attempt() -> None:
        nonlocal ranges
        if request.size is not None and partial.done == request.size:
            return
        try:
            _pull(request, partial, replace(transfer, ranges=ranges))
        except TransientError:  # some servers allow fewer connections than others
            ranges = replace(ranges, width=ranges.width // 2)
            raise

    def note(text: str) -> None:
        progress.note(request.name, text)

    _drop_unusable(request, partial)
    retry(attempt, RetryState(retry_policy, redact_url(request.url), note), done=lambda: partial.done)
    progress.report(request.name, partial.done, partial.done)


def redact_url(url: str) -> str:
    """The URL without credentials and query, which may be secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _netrc() -> httpx.Auth | None:
    try:
        return httpx.NetRCAuth(os.environ.get("NETRC") or None)
    except (OSError, SyntaxError):  # no such file, or one that cannot be read as one (netrc.NetrcParseError)
        return None


def _drop_unusable(request: HttpRequest, partial: PartialFile) -> None:
    """Restart if no validator proves that the downloaded bytes belong to this file, or if there are too many of them."""
    if (request.size is None and not partial.tag) or (request.size is not None and partial.done > request.size):
        partial.restart()


def _pull(request: HttpRequest, partial: PartialFile, transfer: Transfer) -> None:
    first = _first_range(request, partial, transfer.ranges)
    headers = {**request.headers, **_range_headers(partial.done, first, partial.tag)}
    with _named_failures(request), transfer.client.stream("GET", request.url, headers=headers) as response:
        if response.status_code == 416 and _is_whole(response, partial):
            return
        _check_status(request, response)
        announced = _total(response)
        if announced is not None:
            expect_size(request.name, request.size, announced, origin=redact_url(request.url))
        _meet(response, partial)
        total = announced if request.size is None else request.size
        if first is not None and response.status_code == 206 and total is not None and partial.tag:
            _pull_ranges(request, response, partial, (first, total), transfer)
        else:
            _write(request, response, partial, total, transfer.progress)
    if first is not None and partial.done == first:  # without a validator, other ranges may belong to another file
        _pull(request, partial, replace(transfer, ranges=replace(transfer.ranges, width=1)))
    elif total is not None and partial.done < total:
        raise TransientError(f"the connection ended after {partial.done} of {total} bytes", to_error=unreachable)


def _first_range(request: HttpRequest, partial: PartialFile, ranges: Ranges) -> int | None:
    """The end of the first of several ranges; None to download the rest in one."""
    if request.size is None or not ranges.pay(request.size - partial.done):
        return None
    return partial.done + ranges.piece


def _range_headers(start: int, end: int | None, tag: str) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if start or end is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if tag:
            headers["If-Range"] = tag
    return headers


def _write(
    request: HttpRequest, response: httpx.Response, partial: PartialFile, total: int | None, progress: Progress
) -> None:
    for chunk in response.iter_bytes():
        partial.write(chunk)
        if total is not None and partial.done > total:
            expect_size(request.name, request.size, partial.done, origin=redact_url(request.url))
        progress.report(request.name, partial.done, total)


def _pull_ranges(
    request: HttpRequest, response: httpx.Response, partial: PartialFile, bounds: tuple[int, int], transfer: Transfer
) -> None:
    """Write the range of ``response``, which ends at the first bound, and then the rest of the file, to the second bound."""
    first, total = bounds

    def read(part: RangePart) -> None:
        _read_part(request, response, part, partial.tag, transfer.client)

    def report(ahead: int) -> None:
        transfer.progress.report(request.name, partial.done + ahead, total)

    with Readahead(read, transfer.ranges, first, total) as readahead:
        _write(request, response, partial, total, transfer.progress)
        if partial.done != first:
            raise TransientError(f"the connection ended after {partial.done} of {total} bytes", to_error=unreachable)
        for data in readahead.take(report):
            partial.write(data)
            report(0)


def _read_part(request: HttpRequest, first: httpx.Response, part: RangePart, tag: str, client: httpx.Client) -> None:
    """Request the URL that the first range came from: a redirect to it is not followed again for each range."""
    ours = _same_place(first.url, httpx.URL(request.url))
    headers = {**(request.headers if ours else {}), **_range_headers(part.start, part.end, tag)}
    with _named_failures(request), client.stream("GET", first.url, headers=headers) as response:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if response.status_code != 206 or start != str(part.start) or _validator(response) != tag:
            raise TransientError(f"the server answered a range request with {response.status_code}", to_error=unusable)
        for chunk in response.iter_bytes():
            if part.stopped.is_set():
                return
            part.data += chunk
            if part.missing < 0:
                del part.data[part.end - part.start :]
                raise TransientError("the server sent more bytes than requested", to_error=unusable)
    if part.missing:
        raise TransientError("a connection ended in the middle of a part", to_error=unreachable)


def _same_place(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _meet(response: httpx.Response, partial: PartialFile) -> None:
    """Match the response with the downloaded bytes: 206 continues them, 200 is the whole file again."""
    tag = _validator(response)
    if response.status_code == 206:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if start != str(partial.done) or (partial.tag and tag and tag != partial.tag):
            partial.restart()
            raise TransientError("the server sent another range than requested", to_error=unusable, after=0.0)
        partial.resumed = partial.done > 0
        partial.tag = partial.tag or (tag if partial.done == 0 else "")
    else:
        if partial.done:
            partial.restart()
        partial.tag = tag


def _validator(response: httpx.Response) -> str:
    """The validator for If-Range: a strong ETag, else a date."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(response.headers.get("Last-Modified", ""))


def _total(response: httpx.Response) -> int | None:
    """The file's whole size, if the response has it. The length of a compressed response is not the file's size."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    text = (
        response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code == 206
        else response.headers.get("Content-Length", "")
    )
    return int(text) if text.isdigit() else None


def _is_whole(response: httpx.Response, partial: PartialFile) -> bool:
    """Status 416: either all bytes were downloaded, or the file at the server has changed."""
    if response.headers.get("Content-Range", "") == f"bytes */{partial.done}":
        return True
    partial.restart()
    raise TransientError("the server has no bytes at this offset", to_error=unusable, after=0.0)


def _check_status(request: HttpRequest, response: httpx.Response) -> None:
    status, where = response.status_code, redact_url(request.url)
    if status in (200, 206):
        return
    if status in _TRANSIENT_STATUSES:
        raise TransientError(
            f"the server answers {status} {response.reason_phrase}",
            to_error=unusable,
            after=retry_after(response.headers),
        )
    if status in (401, 403):
        raise SourceError(f"{request.name}: {where} refuses access ({status}).", next_action=request.permission)
    if status in (404, 410):
        raise SourceError(
            f"{request.name}: {where} does not exist ({status}).",
            next_action="check the source in image.yaml, then lock again",
        )
    raise SourceError(
        f"{request.name}: {where} answers {status} {response.reason_phrase}.",
        next_action="check the source in image.yaml",
    )


@contextmanager
def _named_failures(request: HttpRequest) -> Iterator[None]:
    """Turn httpx's exceptions into TransientError if a retry may help, else into SourceError or NoNetwork."""
    try:
        yield
    except HTTPX_ERRORS as error:
        raise _named(request, error) from error


def _named(request: HttpRequest, error: Exception) -> PrebakeError | TransientError:
    where = redact_url(request.url)
    match failure := classify(error):
        case RequestFailure.INVALID_URL:
            return SourceError(f"{request.name}: {where}: {error}", next_action="check the source in image.yaml")
        case RequestFailure.UNTRUSTED:
            return NoNetwork(
                f"{where}: the server's certificate is not trusted: {error}.",
                next_action="set SSL_CERT_FILE to a bundle that holds the certificate of your proxy or server",
            )
    # A server without https, and a request that cannot be sent, are reported like a missing connection.
    return TransientError(explain(_SAYS.get(failure, RequestFailure.UNCONNECTED.value), error), to_error=unreachable)
