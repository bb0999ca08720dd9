"""GitHub's API by the standard library: the comments of a pull request, and the head of a branch."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

_PAGE = 100
_MOST_PAGES = 100
_SECONDS = 30
_ACTIONS_BOT = "github-actions[bot]"


class ApiRefused(Exception):
    """GitHub refused a request, or cannot be reached. ``status`` is 0 if there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Api:
    """``url`` is that of the REST API. Every method may raise ApiRefused."""

    url: str
    graphql_url: str
    repository: str
    token: str

    def own_login(self) -> str:
        """The user of the token. A token that may not ask is taken for that of the job."""
        try:
            answer = self._send("POST", self.graphql_url, {"query": "query { viewer { login } }"})
            return str(answer["data"]["viewer"]["login"])
        except (ApiRefused, KeyError, TypeError):
            return _ACTIONS_BOT

    def find_comment(self, number: int, marker: str, login: str) -> int | None:
        """The first comment of ``login`` on a pull request whose text begins with ``marker``."""
        for page in range(1, _MOST_PAGES + 1):
            comments = self._send("GET", self._url(f"issues/{number}/comments?per_page={_PAGE}&page={page}"))
            for comment in comments:
                user = comment.get("user") or {}
                if user.get("login") == login and str(comment.get("body") or "").startswith(marker):
                    return int(comment["id"])
            if len(comments) < _PAGE:
                break
        return None

    def create_comment(self, number: int, body: str) -> None:
        self._send("POST", self._url(f"issues/{number}/comments"), {"body": body})

    def update_comment(self, comment: int, body: str) -> None:
        self._send("PATCH", self._url(f"issues/comments/{comment}"), {"body": body})

    def branch_head(self, branch: str) -> str:
        """The newest commit of a branch."""
        answer = self._send("GET", self._url(f"git/ref/heads/{urllib.parse.quote(branch)}"))
        return str(answer["object"]["sha"])

    def _url(self, path: str) -> str:
        return f"{self.url}/repos/{self.repository}/{path}"

    def _send(self, method: str, url: str, document: Any = None) -> Any:
        headers = {
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "prebake-action",
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
        }
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  GitHub's own variables name the host
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ApiRefused(error.code, f"{method} {url}: {error.code} {error.reason}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ApiRefused(0, f"{method} {url}: {error}") from error


def open_api() -> Api:
    """The API that GitHub's variables name, with GITHUB_TOKEN."""
    url = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    return Api(
        url=url,
        graphql_url=os.environ.get("GITHUB_GRAPHQL_URL", f"{url}/graphql"),
        repository=os.environ.get("GITHUB_REPOSITORY", ""),
        token=os.environ.get("GITHUB_TOKEN", ""),
    )
