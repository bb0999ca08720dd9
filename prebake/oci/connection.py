"""Requests to one registry: authorized, checked, made again where a failure may pass."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import httpx

from prebake.oci.answers import Answer, named_failures, read_answer, require
from prebake.oci.auth import CLIENT, Authorizer, Scopes
from prebake.oci.credentials import find_credentials
from prebake.oci.errors import denied
from prebake.oci.reference import Reference, is_loopback
from prebake.patience import Passing, Patience, Tries, persist
from prebake.process import Narrator, silent

_LIMIT = 1 << 20
_HERE = {"localhost", "127.0.0.1", "[::1]"}


@dataclass(frozen=True)
class Ask:
    """A request. ``content`` as an iterator can be sent once only; ``allowed`` are the statuses that are answers;
    ``limit`` bounds the answer in bytes; ``wait`` is how long it may take in seconds, where that is not the usual."""

    method: str
    url: str
    scopes: Scopes
    allowed: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Iterator[memoryview] = b""
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

    def answer(self, ask: Ask) -> Answer:
        """Raises RegistryUnreachable, RegistryDenied, or RegistryError for a status that is not allowed."""
        return persist(lambda: self.once(ask), self.tries())

    def once(self, ask: Ask) -> Answer:
        """One attempt: raises Passing besides."""
        with self.stream(ask) as response:
            return require(read_answer(response, ask.limit, self.host), ask.allowed, self.host)

    @contextmanager
    def stream(self, ask: Ask) -> Iterator[httpx.Response]:
        """One attempt, of any status; what breaks while the block reads is a Passing, too."""
        with named_failures(self.host):
            response = self._authorized(ask)
            try:
                yield response
            finally:
                response.close()

    def place(self, answer: Answer) -> str:
        """The Location of an answer. Never down from https to http: a proxy that ends TLS lets registries name it."""
        url = httpx.URL(answer.url).join(answer.headers.get("Location", ""))
        return str(url.copy_with(scheme="https") if self._client.base_url.scheme == "https" else url)

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
        request = self._client.build_request(
            ask.method,
            ask.url,
            headers=headers,
            content=cast("bytes | Iterator[bytes]", ask.content),
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
    return httpx.Timeout(read, connect=min(patience.connect, read), pool=None)
