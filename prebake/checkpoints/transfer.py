"""One file by HTTP: resumed where an earlier attempt stopped (RFC 9110 section 14), tried again, bounded in size."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import httpx

from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.partial import Partial
from prebake.checkpoints.pins import expect_size
from prebake.checkpoints.progress import Progress
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


def download(request: Request, partial: Partial, client: httpx.Client, patience: Patience, progress: Progress) -> None:
    """Complete ``partial``. Raises NoNetwork, SourceError, NoRoom, or ChecksumMismatch for another size."""

    def attempt() -> None:
        if request.size is None or partial.done != request.size:
            _pull(request, partial, client, progress)

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


def _pull(request: Request, partial: Partial, client: httpx.Client, progress: Progress) -> None:
    headers = {**request.headers, "Accept-Encoding": "identity"}
    if partial.done:
        headers["Range"] = f"bytes={partial.done}-"
        if partial.tag:
            headers["If-Range"] = partial.tag
    with _named_failures(request), client.stream("GET", request.url, headers=headers) as response:
        if response.status_code == 416 and _is_whole(response, partial):
            return
        _check_status(request, response)
        announced = _total(response)
        if announced is not None:
            expect_size(request.name, request.size, announced, origin=shown(request.url))
        _meet(response, partial)
        total = announced if request.size is None else request.size
        for chunk in response.iter_bytes():
            partial.write(chunk)
            if total is not None and partial.done > total:
                expect_size(request.name, request.size, partial.done, origin=shown(request.url))
            progress.report(request.name, partial.done, total)
    if total is not None and partial.done < total:
        raise Passing(f"the connection ended after {partial.done} of {total} bytes", becomes=unreachable)


def _meet(response: httpx.Response, partial: Partial) -> None:
    """Line up what comes with what is there: a 206 goes on, a 200 is the whole file again."""
    tag = _validator(response)
    if response.status_code == 206:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if start != str(partial.done) or (partial.tag and tag and tag != partial.tag):
            partial.restart()
            raise Passing("the server went on with other bytes than were asked for", becomes=unusable, after=0.0)
        partial.resumed = partial.done > 0
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
