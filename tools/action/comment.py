"""Keep one comment on the pull request: the first run writes it, later ones replace its text."""

from __future__ import annotations

import os

from tools.action.github.api import Api, ApiRefused, open_api
from tools.action.github.event import read_event
from tools.action.github.log import annotate, cut
from tools.action.settings import Settings, read_settings
from tools.action.summary import describe

COMMENT_CHARACTERS = 65_536
"""The longest comment. Counted in bytes here, which are never fewer."""
_FORBIDDEN = (401, 403, 404)


def main() -> int:
    settings, event = read_settings(), read_event()
    if not settings.comment or event.pull_request_number is None:
        print("No comment: it is turned off, or this run is not of a pull request.")
        return 0
    body = comment_body(settings, os.environ.get("VERDICT", ""), os.environ.get("REASON", ""))
    try:
        _write(open_api(), event.pull_request_number, marker_of(settings), body)
    except ApiRefused as error:
        _explain(error, event.is_fork)
    return 0


def marker_of(settings: Settings) -> str:
    """The hidden line by which the comment of an image and its target is found."""
    target = "" if settings.target == "cpu" else f":{settings.target}"
    return f"<!-- prebake-gate:{settings.model}{target} -->"


def comment_body(settings: Settings, verdict: str, reason: str) -> str:
    return cut(f"{marker_of(settings)}\n{describe(settings, verdict, reason)}", COMMENT_CHARACTERS)


def _write(api: Api, number: int, marker: str, body: str) -> None:
    found = api.find_comment(number, marker, api.own_login())
    if found is None:
        api.create_comment(number, body)
    else:
        api.update_comment(found, body)
    print(f"The comment on #{number} was {'written' if found is None else 'updated'}.")


def _explain(error: ApiRefused, is_fork: bool) -> None:
    """A missing comment never fails a check: the summary of the job has the same report."""
    if is_fork and error.status in _FORBIDDEN:
        message = "A pull request from a fork gets no token that may write comments. The job's summary has the report."
        annotate("notice", message, title="No comment")
    elif error.status in _FORBIDDEN:
        message = f"{error}. Give the job `permissions: {{pull-requests: write}}`, or set `comment: false`."
        annotate("warning", message, title="The comment was not written")
    else:
        annotate("warning", f"{error}. The job's summary has the report.", title="The comment was not written")
