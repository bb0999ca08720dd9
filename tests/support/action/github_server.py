"""GitHub's API on loopback: comments of one repository with pages, the token's user, heads of branches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.http_server import QuietHandler, serving_http

BOT = "github-actions[bot]"


@dataclass
class GitHub:
    """``may_write`` is false for the token of a fork. ``requests`` are method and path, in order."""

    url: str = ""
    login: str = BOT
    may_write: bool = True
    comments: list[dict[str, Any]] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def add(self, body: str, login: str = "somebody") -> int:
        self.comments.append({"id": 1000 + len(self.comments), "user": {"login": login}, "body": body})
        return int(self.comments[-1]["id"])

    def body(self, comment: int) -> str:
        return next(str(each["body"]) for each in self.comments if each["id"] == comment)

    @property
    def variables(self) -> dict[str, str]:
        return {"GITHUB_API_URL": self.url, "GITHUB_GRAPHQL_URL": f"{self.url}/graphql"}

    def answer(self, method: str, target: str, document: Any) -> tuple[int, Any]:
        split = urlsplit(target)
        path = split.path.removeprefix("/repos/acme/sounds")
        if path == "/graphql":
            return (200, {"data": {"viewer": {"login": self.login}}}) if self.login else (403, {"message": "no"})
        if method == "GET" and (found := re.fullmatch(r"/git/ref/heads/(.+)", path)):
            head = self.heads.get(unquote(found[1]))
            return (200, {"object": {"sha": head}}) if head else (404, {"message": "Not Found"})
        if method == "GET" and re.fullmatch(r"/issues/\d+/comments", path):
            query = parse_qs(split.query)
            size, page = min(100, int(query["per_page"][0])), int(query["page"][0])
            return 200, self.comments[size * (page - 1) : size * page]
        if not self.may_write:
            return 403, {"message": "Resource not accessible by integration"}
        if len(document["body"]) > 65_536:
            return 422, {"message": "body is too long"}
        if method == "POST" and re.fullmatch(r"/issues/\d+/comments", path):
            return 201, {"id": self.add(document["body"], self.login or BOT)}
        if method == "PATCH" and (found := re.fullmatch(r"/issues/comments/(\d+)", path)):
            next(each for each in self.comments if each["id"] == int(found[1]))["body"] = document["body"]
            return 200, {}
        return 404, {"message": "Not Found"}


@contextmanager
def running_github() -> Iterator[GitHub]:
    github = GitHub()

    class Handler(QuietHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            github.requests.append(f"{self.command} {self.path}")
            status, document = github.answer(self.command, self.path, json.loads(body) if body else None)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _serve

    with serving_http(Handler) as port:
        github.url = f"http://127.0.0.1:{port}"
        yield github
