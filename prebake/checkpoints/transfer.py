"""One file by HTTP: resumed where an earlier attempt stopped (RFC 9110 section 14), tried again, bounded in size."""

from __future__ import annotations

import email.utils
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import httpx

from prebake.checkpoints.partial import Partial
from prebake.checkpoints.patience import PassingError, Patience, persist
from prebake.checkpoints.pins import expect_size
from prebake.checkpoints.progress import Progress
from prebake.errors import NoNetwork, SourceError

_PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Request:
    """What to get. ``size`` is in bytes where it is known; ``permission`` says what to do where the server refuses."""

    name: str
    url: str
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    permission: str = "put the host's credentials into ~/.netrc"


def open_client(patience: Patience, *, netrc: bool = False) -> httpx.Client:
    """A client that honours the proxy and certificate variables of the environment; ``netrc``: and ~/.netrc."""
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
    persist(attempt, patience, where=shown(request.url), done=lambda: partial.done, note=note)
    progress.report(request.name, partial.done, partial.done)


def shown(url: str) -> str:
    """A URL without what may be secret: credentials, and a signed query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _netrc() -> httpx.Auth | None:
    try:
        return httpx.NetRCAuth()
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
        raise PassingError(f"the connection ended after {partial.done} of {total} bytes", network=True)


def _meet(response: httpx.Response, partial: Partial) -> None:
    """Line up what comes with what is there: a 206 goes on, a 200 is the whole file again."""
    tag = _validator(response)
    if response.status_code == 206:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if start != str(partial.done) or (partial.tag and tag and tag != partial.tag):
            partial.restart()
            raise PassingError("the server went on with other bytes than were asked for", network=False, after=0.0)
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
    raise PassingError("the server has no bytes at that place", network=False, after=0.0)


def _check_status(request: Request, response: httpx.Response) -> None:
    status, where = response.status_code, shown(request.url)
    if status in (200, 206):
        return
    if status in _PASSING:
        raise PassingError(
            f"the server answers {status} {response.reason_phrase}", network=False, after=_retry_after(response)
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


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, or a date (RFC 9110 section 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@contextmanager
def _named_failures(request: Request) -> Iterator[None]:
    """httpx's exceptions as ours: what may pass as PassingError, what will not as SourceError or NoNetwork."""
    where = shown(request.url)
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise SourceError(f"{request.name}: {where}: {error}", next_action="check the source in image.yaml") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        if _is_certificate(error):
            raise NoNetwork(
                f"{where}: the server's certificate is not trusted: {error}.",
                next_action="set SSL_CERT_FILE to a bundle that holds the certificate of your proxy or server",
            ) from error
        reason = str(error) or type(error).__name__
        raise PassingError(f"{_kind(error)} ({reason})", network=True) from error


def _kind(error: Exception) -> str:
    if isinstance(error, httpx.ReadTimeout):
        return "the server sends nothing any more"
    return (
        "the connection broke" if isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError)) else "no connection"
    )


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
