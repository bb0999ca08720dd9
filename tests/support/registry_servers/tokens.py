"""A token server."""

from __future__ import annotations

import base64
import json
import secrets
from urllib.parse import parse_qs, urlsplit

from tests.support.registry_servers.server import Handler, Server


class TokenServer(Server):
    """Gives tokens for a name and a password, or for an identity token."""

    def __init__(self, username: str, password: str, identity_token: str = "", expires_in: float = 300) -> None:
        super().__init__()
        self._basic = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._identity_token = identity_token
        self._expires_in = expires_in
        self.given: list[str] = []
        self.valid: set[str] = set()
        self.useless = False
        self.moved = False
        self.asked: list[dict[str, list[str]]] = []

    @property
    def challenge(self) -> str:
        return f'Bearer realm="http://{self.address}/token",service="the registry, here"'

    def lets_in(self, authorization: str) -> bool:
        return authorization.removeprefix("Bearer ") in self.valid and not self.useless

    def answer(self, handler: Handler) -> None:
        if self.moved and handler.path.startswith("/token"):
            handler.reply(307, {"Location": handler.path.replace("/token", "/moved", 1)})
            return
        form = parse_qs(handler.body().decode() or urlsplit(handler.path).query)
        self.asked.append(form)
        by_name = handler.command == "GET" and handler.headers.get("Authorization") == self._basic
        by_token = handler.command == "POST" and form.get("refresh_token") == [self._identity_token]
        if not by_name and not by_token:
            handler.reply(401, data=b'{"errors": [{"code": "UNAUTHORIZED", "message": "no such user"}]}')
            return
        token = secrets.token_urlsafe(24)
        self.given.append(token)
        self.valid.add(token)
        document = {"access_token" if by_token else "token": token, "expires_in": self._expires_in}
        handler.reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())
