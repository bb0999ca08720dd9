"""Requests to one registry: authorized, checked, made again where a failure may pass."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import httpx

from prebake.oci.answers import Answer, named_failures, read_answer, require
from prebake.oci.auth import CLIENT, Authorizer, Scopes
from prebake.oci.credentials import find_credentials
from prebake.oci.errors import denied, unusable
from prebake.oci.reference import Reference, is_loopback
from prebake.patience import Passing, Patience, Tries, persist
from prebake.process import Narrator, silent

_LIMIT = 1 << 20
_HERE = {"localhost", "127.0.0.1", "[::1]"}
_REDIRECTS = (301, 302, 307, 308)  # kept to the method and the body, other than by browsers after 301 and 302
_MOST_REDIRECTS = 5


@dataclass(frozen=True)
class Ask:
    """A request. ``content`` gives its bytes, or is called for them, once for each time that they are sent; ``allowed`` are
    the statuses that are answers; ``limit`` bounds the answer in bytes; ``wait`` is how long it may take in seconds after
    the last byte was sent, where that is not the usual."""

    method: str
    url: str
    scopes: Scopes
    allowed: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Callable[[], Iterator[memoryview]] = b""
    limit: int = _LIMIT
    wait: float | None = None


class Connection:
    """``url``s may be paths. Threads may share it."""

    def __init__(
        self,
        reference: Reference,
        patience: Patience,
        say: Narrator = silent,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.host = reference.host
        self.patience = patience
        self.say = say
        self._client = _open_client(reference, patience, environ)
        key, path = reference.credentials_key, reference.path
        self._authorizer = Authorizer(
            self.host, self._client, lambda: find_credentials(key, environ, path=path, say=say)
        )

    def close(self) -> None:
        self._client.close()

    def patient(self, patience: Patience) -> Connection:
        """The same connection with another patience."""
        other = copy.copy(self)
        other.patience = patience
        return other

    def telling(self, say: Narrator) -> Connection:
        """The same connection with another narrator."""
        other = copy.copy(self)
        other.say = say
        return other

    def tries(self) -> Tries:
        return Tries(self.patience, self.host, lambda text: self.say(f"{self.host}: {text}"))

    def answer(self, ask: Ask, judge: Callable[[Answer], object] = lambda answer: answer) -> Answer:
        """``judge`` may raise Passing, too, for an answer that may become another.

        Raises RegistryUnreachable, RegistryDenied, or RegistryError for a status that is not allowed.
        """

        def attempt() -> Answer:
            answer = self.once(ask)
            judge(answer)
            return answer

        return persist(attempt, self.tries())

    def once(self, ask: Ask) -> Answer:
        """One attempt: raises Passing besides."""
        with self.stream(ask) as response:
            return require(read_answer(response, ask.limit, self.host), ask.allowed, self.host)

    @contextmanager
    def stream(self, ask: Ask) -> Iterator[httpx.Response]:
        """One attempt, of any status; what breaks while the block reads is a Passing, too."""
        with named_failures(self.host):
            response = self._redirected(ask)
            try:
                yield response
            finally:
                response.close()

    def place(self, answer: Answer) -> str:
        """The Location of an answer, as a URL. Raises RegistryError where there is none."""
        location = answer.headers.get("Location", "")
        if not location:
            raise unusable(self.host, f"{answer.reason} without a Location")
        with named_failures(self.host):
            return self._locate(answer.url, location)

    def _locate(self, asked: str, location: str) -> str:
        """Never down from https to http, and never to a port that a proxy forgot: a registry behind a proxy that ends TLS
        or listens elsewhere names itself as it was called."""
        base = self._client.base_url
        if location.startswith(f"{base.netloc.decode()}/"):
            location = f"{base.scheme}://{location}"  # containerd takes this form too
        url = httpx.URL(asked).join(location).copy_with(fragment=None)  # the digest is added to the query
        if url.host == base.host and url.port in (None, base.port):
            return str(url.copy_with(scheme=base.scheme, port=base.port))
        return str(url.copy_with(scheme="https") if base.scheme == "https" else url)

    def _redirected(self, ask: Ask) -> httpx.Response:
        """A redirect of an upload is followed with its method and all of its bytes. httpx follows those of GET and HEAD."""
        for _ in range(_MOST_REDIRECTS):
            response = self._authorized(ask)
            location = response.headers.get("Location", "")
            if response.status_code not in _REDIRECTS or not location or ask.method in ("GET", "HEAD"):
                return response
            response.close()
            ask = replace(ask, url=self._locate(str(response.url), location))
        raise unusable(self.host, f"it redirects {ask.method} more than {_MOST_REDIRECTS} times")

    def _authorized(self, ask: Ask) -> httpx.Response:
        shown = self._authorizer.header(ask.scopes) if self._is_ours(ask.url) else None
        response = self._send(ask, shown)
        if response.status_code != 401 or not self._is_ours(ask.url):
            return response
        response.close()
        self._authorizer.renew(response.headers.get_list("WWW-Authenticate"), ask.scopes, shown)
        if not isinstance(ask.content, bytes):
            raise Passing("it wants to know anew who we are", becomes=denied, after=0.0)
        return self._send(ask, self._authorizer.header(ask.scopes))

    def _send(self, ask: Ask, authorization: str | None) -> httpx.Response:
        headers = {**ask.headers, "Accept-Encoding": "identity"}
        if authorization is not None:
            headers["Authorization"] = authorization
        content = ask.content if isinstance(ask.content, bytes) else ask.content()
        request = self._client.build_request(
            ask.method,
            ask.url,
            headers=headers,
            content=cast("bytes | Iterator[bytes]", content),
            timeout=_timeout(self.patience, ask.wait),
        )
        return self._client.send(request, stream=True, follow_redirects=ask.method in ("GET", "HEAD"))

    def _is_ours(self, url: str) -> bool:
        """Tokens are for the registry alone, and not for where it may send uploads."""
        there, base = self._client.base_url.join(url), self._client.base_url
        return (there.scheme, there.host, there.port) == (base.scheme, base.host, base.port)


def _open_client(reference: Reference, patience: Patience, environ: Mapping[str, str]) -> httpx.Client:
    """It honours the proxy and certificate variables; as Docker's, it takes no proxy to this machine."""
    base = httpx.URL(reference.base_url(environ))
    here = {*_HERE, base.netloc.decode()} if is_loopback(reference.host) else _HERE
    direct: dict[str, httpx.BaseTransport | None] = {f"all://{host}": None for host in here}
    return httpx.Client(
        base_url=base,
        mounts=direct,
        headers={"User-Agent": CLIENT},
        timeout=_timeout(patience, None),
    )


def _timeout(patience: Patience, wait: float | None) -> httpx.Timeout:
    read = patience.read if wait is None else wait
    return httpx.Timeout(read, write=min(patience.read, read), connect=min(patience.connect, read), pool=None)
