"""What to show a registry: a password (RFC 7617), or tokens from the server that it names (distribution's token
specification, "Token Authentication Specification" and "Oauth2 Token Authentication")."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

import httpx

from prebake.oci.answers import Answer, named_failures, read_answer, require
from prebake.oci.challenges import Challenge, read_challenges
from prebake.oci.credentials import Credentials
from prebake.oci.errors import denied, unusable
from prebake.oci.reference import is_loopback

Scopes = tuple[str, ...]
"""``repository:PATH:pull,push``, sorted; one token is for all of them."""

CLIENT = "prebake"
_LIFETIME = 60.0  # seconds, where a token server tells none (the specification's default)
_USED = 0.9  # of a lifetime: a token is not shown in its last moments
_LIMIT = 1 << 20


@dataclass(frozen=True)
class _Token:
    header: str = field(repr=False)
    until: float


class Authorizer:
    """The Authorization header for one registry. Tokens are kept until they expire; threads may share it.

    ``credentials`` is called when the registry first asks who we are, and once.
    """

    def __init__(
        self,
        host: str,
        client: httpx.Client,
        credentials: Callable[[], Credentials | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._client = client
        self._find = credentials
        self._clock = clock
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}
        self._lock = threading.Lock()

    def header(self, scopes: Scopes) -> str | None:
        """What to send: None before the registry has asked for anything. An expired token is replaced.

        Raises what ``renew`` raises.
        """
        with self._lock:
            return self._current(scopes) if self._challenge else None

    def renew(self, challenges: Iterable[str], scopes: Scopes, refused: str | None) -> None:
        """Meet a 401 whose ``WWW-Authenticate`` headers these are; ``refused`` is what was shown.

        Raises RegistryDenied, RegistryError, RegistryUnreachable, or Passing.
        """
        with self._lock:
            self._challenge = self._choose(read_challenges(challenges))
            kept = self._tokens.get(scopes)
            if kept is not None and kept.header == refused:
                del self._tokens[scopes]
            if self._current(scopes) == refused:
                raise denied(self._host, "it does not accept the credentials")

    @cached_property
    def _credentials(self) -> Credentials | None:
        return self._find()

    def _choose(self, challenges: list[Challenge]) -> Challenge:
        for scheme in ("bearer", "basic"):
            for challenge in challenges:
                if challenge.scheme == scheme and (scheme == "basic" or challenge.parameters.get("realm")):
                    return challenge
        offered = ", ".join(challenge.scheme for challenge in challenges) or "nothing"
        raise denied(self._host, f"it asks for credentials, and takes {offered} where Bearer or Basic is known")

    def _current(self, scopes: Scopes) -> str:
        if self._challenge is None or self._challenge.scheme == "basic":
            return self._basic()
        kept = self._tokens.get(scopes)
        if kept is None or kept.until <= self._clock():
            kept = self._tokens[scopes] = self._fetch(self._challenge, scopes)
        return kept.header

    def _basic(self) -> str:
        if self._credentials is None or not self._credentials.username:
            raise denied(self._host, "it asks for a name and a password, and there are none")
        return self._credentials.basic

    def _fetch(self, challenge: Challenge, scopes: Scopes) -> _Token:
        asked = self._clock()
        with named_failures(urlsplit(challenge.parameters["realm"]).netloc):
            answer = self._ask(challenge, scopes)
        require(answer, (200,), self._host)
        try:
            found = json.loads(answer.body)
            token = str(found.get("access_token") or found["token"])
            lifetime = float(found.get("expires_in") or _LIFETIME)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise unusable(self._host, "its token server answers with no token") from None
        return _Token(f"Bearer {token}", asked + lifetime * _USED)

    def _ask(self, challenge: Challenge, scopes: Scopes) -> Answer:
        realm, known = challenge.parameters["realm"], self._credentials
        if known is not None:
            self._expect_private(realm)
        service = {name: challenge.parameters[name] for name in ("service",) if name in challenge.parameters}
        wanted = sorted({*scopes, *challenge.parameters.get("scope", "").split()})
        if known is not None and known.identity_token:
            form = {"grant_type": "refresh_token", "client_id": CLIENT, **service}
            form |= {"scope": " ".join(wanted), "refresh_token": known.identity_token}
            request = self._client.build_request("POST", realm, data=form)
        else:
            headers = {"Authorization": known.basic} if known is not None else {}
            url = httpx.URL(realm).copy_merge_params({**service, "scope": wanted})
            request = self._client.build_request("GET", url, headers=headers)
        # As Docker does; httpx leaves credentials out if a redirect leads to another host.
        response = self._client.send(request, stream=True, follow_redirects=request.method == "GET")
        try:
            return read_answer(response, _LIMIT, self._host)
        finally:
            response.close()

    def _expect_private(self, realm: str) -> None:
        """Credentials that came by https do not leave by http; where the registry itself is plain, nothing is lost."""
        parts = urlsplit(realm)
        if parts.scheme != "https" and not is_loopback(parts.netloc.rpartition("@")[2]) and not self._plain:
            raise unusable(self._host, "it wants credentials sent to a token server that does not speak https")

    @property
    def _plain(self) -> bool:
        return self._client.base_url.scheme == "http"
