"""One file by HTTP: resumed where an earlier attempt stopped (RFC 9110 section 14), tried again, bounded in size.

A large file comes in several ranges at once, if its server answers with ranges and names the file by a validator. The first
range is written as it comes, the others after it, so that an attempt keeps no less than a single stream would have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

import httpx

from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.partial import Partial
from prebake.checkpoints.pins import expect_size
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.ranges import SEVERAL, Part, Ranges, Readahead
from prebake.errors import NoNetwork, PrebakeError, SourceError
from prebake.http_failures import FAILURES, Failure, classify, explain, retry_after
from prebake.patience import Passing, Patience, Tries, persist

DOWNLOADS = Patience(attempts=6, retry_after=120.0, read=30.0)
"""How patient downloads are, where nobody says otherwise."""

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_SAYS = {Failure.STALLED: "the server sends nothing any more", Failure.BROKEN: Failure.BROKEN.value}


@dataclass(frozen=True)
class Request:
    """What to get. ``size`` is in bytes where it is known; ``permission`` says what to do where the server refuses."""

    name: str
    url: str
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    permission: str = "put the host's credentials into ~/.netrc"


def open_client(patience: Patience, *, netrc: bool = False) -> httpx.Client:
    """A client that honours the proxy and certificate variables of the environment; ``netrc``: and NETRC, or ~/.netrc."""
    timeout = httpx.Timeout(patience.read, connect=patience.connect, pool=None)
    return httpx.Client(timeout=timeout, follow_redirects=True, auth=_netrc() if netrc else None)


@dataclass(frozen=True)
class Transfer:
    """How a file comes: over which client, how patiently, in which ranges, and who is told."""

    client: httpx.Client
    patience: Patience
    progress: Progress
    ranges: Ranges = SEVERAL


def download(request: Request, partial: Partial, transfer: Transfer) -> None:
    """Complete ``partial``. Raises NoNetwork, SourceError, NoRoom, or ChecksumMismatch for another size."""
    patience, progress, ranges = transfer.patience, transfer.progress, transfer.ranges

    def attempt() -> None:
        nonlocal ranges
        if request.size is not None and partial.done == request.size:
            return
        try:
            _pull(request, partial, replace(transfer, ranges=ranges))
        except Passing:  # some servers bear fewer connections than others
            ranges = replace(ranges, width=ranges.width // 2)
            raise

    def note(text: str) -> None:
        progress.note(request.name, text)

    _drop_unusable(request, partial)
    persist(attempt, Tries(patience, shown(request.url), note), done=lambda: partial.done)
    progress.report(request.name, partial.done, partial.done)


def shown(url: str) -> str:
    """A URL without what may be secret: credentials, and a signed query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _netrc() -> httpx.Auth | None:
    try:
        return httpx.NetRCAuth(os.environ.get("NETRC") or None)
    except (OSError, SyntaxError):  # no such file, or one that cannot be read as one (netrc.NetrcParseError)
        return None


def _drop_unusable(request: Request, partial: Partial) -> None:
    """Bytes that nothing vouches for, or too many of them, are not gone on from."""
    if (request.size is None and not partial.tag) or (request.size is not None and partial.done > request.size):
        partial.restart()


def _pull(request: Request, partial: Partial, transfer: Transfer) -> None:
    first = _first_range(request, partial, transfer.ranges)
    headers = {**request.headers, **_range_headers(partial.done, first, partial.tag)}
    with _named_failures(request), transfer.client.stream("GET", request.url, headers=headers) as response:
        if response.status_code == 416 and _is_whole(response, partial):
            return
        _check_status(request, response)
        announced = _total(response)
        if announced is not None:
            expect_size(request.name, request.size, announced, origin=shown(request.url))
        _meet(response, partial)
        total = announced if request.size is None else request.size
        if first is not None and response.status_code == 206 and total is not None and partial.tag:
            _pull_ranges(request, response, partial, (first, total), transfer)
        else:
            _write(request, response, partial, total, transfer.progress)
    if first is not None and partial.done == first:  # nothing vouches that other ranges are of the same file
        _pull(request, partial, replace(transfer, ranges=replace(transfer.ranges, width=1)))
    elif total is not None and partial.done < total:
        raise Passing(f"the connection ended after {partial.done} of {total} bytes", becomes=unreachable)


def _first_range(request: Request, partial: Partial, ranges: Ranges) -> int | None:
    """Where the first of several ranges ends; None: the rest comes in one."""
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


def _write(request: Request, response: httpx.Response, partial: Partial, total: int | None, progress: Progress) -> None:
    for chunk in response.iter_bytes():
        partial.write(chunk)
        if total is not None and partial.done > total:
            expect_size(request.name, request.size, partial.done, origin=shown(request.url))
        progress.report(request.name, partial.done, total)


def _pull_ranges(
    request: Request, response: httpx.Response, partial: Partial, bounds: tuple[int, int], transfer: Transfer
) -> None:
    """The range that ``response`` is, to the first of the bounds, and the rest of the file behind it, to the second."""
    first, total = bounds

    def read(part: Part) -> None:
        _read_part(request, response, part, partial.tag, transfer.client)

    def report(ahead: int) -> None:
        transfer.progress.report(request.name, partial.done + ahead, total)

    with Readahead(read, transfer.ranges, first, total) as readahead:
        _write(request, response, partial, total, transfer.progress)
        if partial.done != first:
            raise Passing(f"the connection ended after {partial.done} of {total} bytes", becomes=unreachable)
        for data in readahead.take(report):
            partial.write(data)
            report(0)


def _read_part(request: Request, first: httpx.Response, part: Part, tag: str, client: httpx.Client) -> None:
    """Asked of the place that the first range came from: what redirects there is not asked again for each part."""
    ours = _same_place(first.url, httpx.URL(request.url))
    headers = {**(request.headers if ours else {}), **_range_headers(part.start, part.end, tag)}
    with _named_failures(request), client.stream("GET", first.url, headers=headers) as response:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if response.status_code != 206 or start != str(part.start) or _validator(response) != tag:
            raise Passing(f"the server answers {response.status_code} for a part", becomes=unusable)
        for chunk in response.iter_bytes():
            if part.stopped.is_set():
                return
            part.data += chunk
            if part.missing < 0:
                del part.data[part.end - part.start :]
                raise Passing("the server sent more than was asked for", becomes=unusable)
    if part.missing:
        raise Passing("a connection ended in the middle of a part", becomes=unreachable)


def _same_place(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _meet(response: httpx.Response, partial: Partial) -> None:
    """Line up what comes with what is there: a 206 goes on, a 200 is the whole file again."""
    tag = _validator(response)
    if response.status_code == 206:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if start != str(partial.done) or (partial.tag and tag and tag != partial.tag):
            partial.restart()
            raise Passing("the server went on with other bytes than were asked for", becomes=unusable, after=0.0)
        partial.resumed = partial.done > 0
        partial.tag = partial.tag or (tag if partial.done == 0 else "")
    else:
        if partial.done:
            partial.restart()
        partial.tag = tag


def _validator(response: httpx.Response) -> str:
    """What If-Range may name: a strong ETag, else a date."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(response.headers.get("Last-Modified", ""))


def _total(response: httpx.Response) -> int | None:
    """The file's whole size as far as the answer tells; a compressed answer's length is not it."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    text = (
        response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code == 206
        else response.headers.get("Content-Length", "")
    )
    return int(text) if text.isdigit() else None


def _is_whole(response: httpx.Response, partial: Partial) -> bool:
    """416: nothing is left to ask for, because everything is there or because the file is another one."""
    if response.headers.get("Content-Range", "") == f"bytes */{partial.done}":
        return True
    partial.restart()
    raise Passing("the server has no bytes at that place", becomes=unusable, after=0.0)


def _check_status(request: Request, response: httpx.Response) -> None:
    status, where = response.status_code, shown(request.url)
    if status in (200, 206):
        return
    if status in _PASSING:
        raise Passing(
            f"the server answers {status} {response.reason_phrase}",
            becomes=unusable,
            after=retry_after(response.headers),
        )
    if status in (401, 403):
        raise SourceError(f"{request.name}: {where} refuses access ({status}).", next_action=request.permission)
    if status in (404, 410):
        raise SourceError(
            f"{request.name}: {where} does not exist ({status}).",
            next_action="check the source in image.yaml, lock again",
        )
    raise SourceError(
        f"{request.name}: {where} answers {status} {response.reason_phrase}.",
        next_action="check the source in image.yaml",
    )


@contextmanager
def _named_failures(request: Request) -> Iterator[None]:
    """httpx's exceptions as ours: what may pass as Passing, what will not as SourceError or NoNetwork."""
    try:
        yield
    except FAILURES as error:
        raise _named(request, error) from error


def _named(request: Request, error: Exception) -> PrebakeError | Passing:
    where = shown(request.url)
    match failure := classify(error):
        case Failure.NOWHERE:
            return SourceError(f"{request.name}: {where}: {error}", next_action="check the source in image.yaml")
        case Failure.UNTRUSTED:
            return NoNetwork(
                f"{where}: the server's certificate is not trusted: {error}.",
                next_action="set SSL_CERT_FILE to a bundle that holds the certificate of your proxy or server",
            )
    # No https, and a request that cannot be sent, are not told from no connection here.
    return Passing(explain(_SAYS.get(failure, Failure.UNCONNECTED.value), error), becomes=unreachable)
