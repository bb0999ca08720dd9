"""The Authorization header for a registry: a password (RFC 7617), or a token from the registry's token server (distribution's
token specification, "Token Authentication Specification" and "Oauth2 Token Authentication")."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

import httpx

from prebake.oci.errors import denied, unusable
from prebake.oci.http.challenges import Challenge, read_challenges
from prebake.oci.http.credentials import Credentials
from prebake.oci.http.responses import RegistryResponse, read_response, require_status, translate_errors
from prebake.oci.reference import is_loopback

Scopes = tuple[str, ...]
"""``repository:PATH:pull,push``, sorted; one token covers all of them."""

CLIENT = "prebake"
_DEFAULT_LIFETIME_SECONDS = 60.0  # the specification's, if a token server names none
_USED_LIFETIME = 0.9  # the part of a lifetime that is used, so that no token expires on its way
_MAX_TOKEN_BYTES = 1 << 20


@dataclass(frozen=True)
class _Token:
    header: str = field(repr=False)
    until: float


class Authorizer:
    """The Authorization header for one registry. Tokens are kept until they expire; threads may share it.

    ``find_credentials`` is called once, when the registry first asks for credentials.
    """

    def __init__(
        self,
        host: str,
        client: httpx.Client,
        find_credentials: Callable[[], Credentials | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._client = client
        self._find_credentials = find_credentials
        self._clock = clock
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}
        self._lock = threading.Lock()

    def header(self, scopes: Scopes) -> str | None:
        """The header's value; None before the registry has asked for credentials. An expired token is replaced.

        Raises what ``renew`` raises.
        """
        with self._lock:
            return self._current(scopes) if self._challenge else None

    def renew(self, challenges: Iterable[str], scopes: Scopes, refused: str | None) -> None:
        """Answer a 401 with these ``WWW-Authenticate`` headers; ``refused`` is the header that was sent.

        Raises RegistryDenied, RegistryError, RegistryUnreachable, or TransientError.
        """
        with self._lock:
            self._challenge = self._choose(read_challenges(challenges))
            token = self._tokens.get(scopes)
            if token is not None and token.header == refused:
                del self._tokens[scopes]
            if self._current(scopes) == refused:
                raise denied(self._host, "it does not accept the credentials")

    @cached_property
    def _credentials(self) -> Credentials | None:
        return self._find_credentials()

    def _choose(self, challenges: list[Challenge]) -> Challenge:
        for scheme in ("bearer", "basic"):
            for challenge in challenges:
                if challenge.scheme == scheme and (scheme == "basic" or challenge.parameters.get("realm")):
                    return challenge
        offered = ", ".join(challenge.scheme for challenge in challenges) or "nothing"
        raise denied(self._host, f"it accepts credentials by {offered}, but Prebake supports only Bearer and Basic")

    def _current(self, scopes: Scopes) -> str:
        if self._challenge is None or self._challenge.scheme == "basic":
            return self._basic()
        token = self._tokens.get(scopes)
        if token is None or token.until <= self._clock():
            token = self._tokens[scopes] = self._fetch_token(self._challenge, scopes)
        return token.header

    def _basic(self) -> str:
        if self._credentials is None or not self._credentials.username:
            raise denied(self._host, "it asks for a name and a password, and no configuration file has them")
        return self._credentials.basic

    def _fetch_token(self, challenge: Challenge, scopes: Scopes) -> _Token:
        requested = self._clock()
        with translate_errors(urlsplit(challenge.parameters["realm"]).netloc):
            response = self._request_token(challenge, scopes)
        require_status(response, (200,), self._host)
        try:
            document = json.loads(response.body)
            token = str(document.get("access_token") or document["token"])
            lifetime = float(document.get("expires_in") or _DEFAULT_LIFETIME_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise unusable(self._host, "its token server answers without a token") from None
        return _Token(f"Bearer {token}", requested + lifetime * _USED_LIFETIME)

    def _request_token(self, challenge: Challenge, scopes: Scopes) -> RegistryResponse:
        realm, credentials = challenge.parameters["realm"], self._credentials
        if credentials is not None:
            self._require_private(realm)
        service = {name: challenge.parameters[name] for name in ("service",) if name in challenge.parameters}
        all_scopes = sorted({*scopes, *challenge.parameters.get("scope", "").split()})
        if credentials is not None and credentials.identity_token:
            form = {"grant_type": "refresh_token", "client_id": CLIENT, **service}
            form |= {"scope": " ".join(all_scopes), "refresh_token": credentials.identity_token}
            request = self._client.build_request("POST", realm, data=form)
        else:
            headers = {"Authorization": credentials.basic} if credentials is not None else {}
            url = httpx.URL(realm).copy_merge_params({**service, "scope": all_scopes})
            request = self._client.build_request("GET", url, headers=headers)
        # As Docker does. httpx sends no credentials to another host that a redirect names.
        response = self._client.send(request, stream=True, follow_redirects=request.method == "GET")
        try:
            return read_response(response, _MAX_TOKEN_BYTES, self._host)
        finally:
            response.close()

    def _require_private(self, realm: str) -> None:
        """Credentials for a registry with https are not sent by http. If the registry itself uses http, nothing is lost."""
        parts = urlsplit(realm)
        is_plain = self._client.base_url.scheme == "http"
        if parts.scheme != "https" and not is_loopback(parts.netloc.rpartition("@")[2]) and not is_plain:
            raise unusable(self._host, "it asks for credentials at a token server that does not use https")
