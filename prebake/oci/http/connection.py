"""Requests to one registry: authorized, checked, and repeated after transient errors."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import httpx

from prebake.io.log import Log, silent
from prebake.io.retry import RetryPolicy, RetryState, TransientError, retry
from prebake.oci.errors import denied, unusable
from prebake.oci.http.auth import CLIENT, Authorizer, Scopes
from prebake.oci.http.credentials import find_credentials
from prebake.oci.http.responses import RegistryResponse, read_response, require_status, translate_errors
from prebake.oci.reference import Reference, is_loopback

_MAX_RESPONSE_BYTES = 1 << 20
_LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "[::1]"}
_REDIRECTS = (301, 302, 307, 308)  # followed with method and body; browsers change them after 301 and 302
_MAX_REDIRECTS = 5


@dataclass(frozen=True)
class Request:
    """``content`` is the body, or is called for it each time that it is sent; ``allowed`` are the statuses that are no errors;
    ``limit`` bounds the response in bytes; ``wait`` bounds the seconds between the last byte that is sent and the response, if
    the policy's bound does not fit."""

    method: str
    url: str
    scopes: Scopes
    allowed: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Callable[[], Iterator[memoryview]] = b""
    limit: int = _MAX_RESPONSE_BYTES
    wait: float | None = None


class Connection:
    """URLs may be paths. Threads may share it."""

    def __init__(
        self,
        reference: Reference,
        retry_policy: RetryPolicy,
        log: Log = silent,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.host = reference.host
        self.retry_policy = retry_policy
        self.log = log
        self._client = _open_client(reference, retry_policy, environ)
        key, path = reference.credentials_key, reference.path
        self._authorizer = Authorizer(
            self.host, self._client, lambda: find_credentials(key, environ, path=path, log=log)
        )

    def close(self) -> None:
        self._client.close()

    def with_retry_policy(self, retry_policy: RetryPolicy) -> Connection:
        """The same connection with another policy."""
        other = copy.copy(self)
        other.retry_policy = retry_policy
        return other

    def with_log(self, log: Log) -> Connection:
        """The same connection with another log."""
        other = copy.copy(self)
        other.log = log
        return other

    def retry_state(self) -> RetryState:
        """A new count of attempts."""
        return RetryState(self.retry_policy, self.host, lambda text: self.log(f"{self.host}: {text}"))

    def send(
        self, request: Request, check: Callable[[RegistryResponse], object] = lambda response: response
    ) -> RegistryResponse:
        """Send a request until it is answered. ``check`` may raise TransientError for a response that may change.

        Raises RegistryUnreachable, RegistryDenied, or RegistryError for a status that is not allowed.
        """

        def attempt() -> RegistryResponse:
            response = self.send_once(request)
            check(response)
            return response

        return retry(attempt, self.retry_state())

    def send_once(self, request: Request) -> RegistryResponse:
        """One attempt of ``send``, which may raise TransientError, too."""
        with self.stream(request) as response:
            return require_status(read_response(response, request.limit, self.host), request.allowed, self.host)

    @contextmanager
    def stream(self, request: Request) -> Iterator[httpx.Response]:
        """One attempt, with a response of any status. Raises TransientError for failures, those inside the block included."""
        with translate_errors(self.host):
            response = self._send_redirected(request)
            try:
                yield response
            finally:
                response.close()

    def location_of(self, response: RegistryResponse) -> str:
        """The Location of a response as a URL. Raises RegistryError if it has none."""
        location = response.headers.get("Location", "")
        if not location:
            raise unusable(self.host, f"{response.reason} without a Location")
        with translate_errors(self.host):
            return self._resolve_location(response.url, location)

    def _resolve_location(self, url: str, location: str) -> str:
        """A registry behind a proxy that ends TLS, or listens at another port, does not know its own address: scheme and port of
        its own host are those of the connection. https is never left for http."""
        base = self._client.base_url
        if location.startswith(f"{base.netloc.decode()}/"):
            location = f"{base.scheme}://{location}"  # containerd accepts this form, too
        target = httpx.URL(url).join(location).copy_with(fragment=None)  # the digest is added to the query
        if target.host == base.host and target.port in (None, base.port):
            return str(target.copy_with(scheme=base.scheme, port=base.port))
        return str(target.copy_with(scheme="https") if base.scheme == "https" else target)

    def _send_redirected(self, request: Request) -> httpx.Response:
        """Follow redirects of uploads with method and body. httpx follows those of GET and HEAD."""
        for _ in range(_MAX_REDIRECTS):
            response = self._send_authorized(request)
            location = response.headers.get("Location", "")
            if response.status_code not in _REDIRECTS or not location or request.method in ("GET", "HEAD"):
                return response
            response.close()
            request = replace(request, url=self._resolve_location(str(response.url), location))
        raise unusable(self.host, f"it redirects {request.method} more than {_MAX_REDIRECTS} times")

    def _send_authorized(self, request: Request) -> httpx.Response:
        header = self._authorizer.header(request.scopes) if self._is_registry(request.url) else None
        response = self._send(request, header)
        if response.status_code != 401 or not self._is_registry(request.url):
            return response
        response.close()
        self._authorizer.renew(response.headers.get_list("WWW-Authenticate"), request.scopes, header)
        if not isinstance(request.content, bytes):
            raise TransientError("it asks for new credentials", to_error=denied, after=0.0)
        return self._send(request, self._authorizer.header(request.scopes))

    def _send(self, request: Request, authorization: str | None) -> httpx.Response:
        headers = {**request.headers, "Accept-Encoding": "identity"}
        if authorization is not None:
            headers["Authorization"] = authorization
        content = request.content if isinstance(request.content, bytes) else request.content()
        built = self._client.build_request(
            request.method,
            request.url,
            headers=headers,
            content=cast("bytes | Iterator[bytes]", content),
            timeout=_timeout(self.retry_policy, request.wait),
        )
        return self._client.send(built, stream=True, follow_redirects=request.method in ("GET", "HEAD"))

    def _is_registry(self, url: str) -> bool:
        """Tokens are sent to the registry itself, not to other hosts that it redirects uploads to."""
        target, base = self._client.base_url.join(url), self._client.base_url
        return (target.scheme, target.host, target.port) == (base.scheme, base.host, base.port)


def _open_client(reference: Reference, retry_policy: RetryPolicy, environ: Mapping[str, str]) -> httpx.Client:
    """The client honors the variables of proxies and certificates. As Docker, it uses no proxy for this machine."""
    base = httpx.URL(reference.base_url(environ))
    hosts = {*_LOOPBACK_HOSTS, base.netloc.decode()} if is_loopback(reference.host) else _LOOPBACK_HOSTS
    no_proxy: dict[str, httpx.BaseTransport | None] = {f"all://{host}": None for host in hosts}
    return httpx.Client(
        base_url=base,
        mounts=no_proxy,
        headers={"User-Agent": CLIENT},
        timeout=_timeout(retry_policy, None),
    )


def _timeout(retry_policy: RetryPolicy, wait: float | None) -> httpx.Timeout:
    read = retry_policy.read if wait is None else wait
    return httpx.Timeout(read, write=min(retry_policy.read, read), connect=min(retry_policy.connect, read), pool=None)
