"""One comment on a pull request, which later runs update."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.action.conftest import Stage
from tests.support.action.github_server import BOT
from tests.support.action.runs import pull_request
from tools.action.github.api import Api, ApiRefused

MARKER = "<!-- prebake-gate:toy -->"


def test_the_second_run_updates_the_comment_of_the_first(stage: Stage, request_event: dict[str, Any]) -> None:
    for number in range(250):
        stage.github.add(f"comment {number}")
    stage.run(request_event)
    assert len(stage.github.comments) == 251
    stage.behave(bench={"verdict": "pass", "markdown": "### the second run\n"})
    assert "was updated" in stage.run(request_event).log
    assert len(stage.github.comments) == 251
    assert stage.github.comments[-1]["body"] == f"{MARKER}\n### the second run\n"
    assert sum("page=3" in request for request in stage.github.requests) == 2


def test_nobody_elses_comment_is_touched(stage: Stage, request_event: dict[str, Any]) -> None:
    others = [stage.github.add(f"{MARKER}\nmine", "stranger"), stage.github.add(f"> {MARKER}", BOT)]
    twin = stage.github.add("<!-- prebake-gate:toy_two -->\n", BOT)
    stage.run(request_event)
    assert [stage.github.body(each) for each in (*others, twin)] == [
        f"{MARKER}\nmine",
        f"> {MARKER}",
        "<!-- prebake-gate:toy_two -->\n",
    ]
    assert len(stage.github.comments) == 4


def test_a_token_that_may_not_ask_who_it_is_is_the_jobs(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.github.login = ""
    own = stage.github.add(MARKER, BOT)
    stage.run(request_event)
    assert stage.github.body(own) == f"{MARKER}\n### pass\n"


def test_a_fork_gets_a_notice_and_stays_green(stage: Stage) -> None:
    stage.github.may_write = False
    ran = stage.run(pull_request(fork=True, sha=stage.git("rev-parse", "HEAD")))
    assert ran.failed == {}
    assert "::notice title=No comment::A pull request from a fork" in ran.log
    assert "### pass" in ran.summary


def test_a_missing_right_is_a_warning_that_names_it(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.github.may_write = False
    ran = stage.run(request_event)
    assert ran.failed == {}
    assert "::warning title=The comment was not written::" in ran.log
    assert "pull-requests: write" in ran.log


def test_a_report_that_is_too_long_is_cut(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.behave(bench={"verdict": "pass", "markdown": "| ü | 1 |\n" * 30_000})
    assert stage.run(request_event).failed == {}
    (comment,) = stage.github.comments
    assert comment["body"].startswith(f"{MARKER}\n| ü | 1 |\n")
    assert len(comment["body"].encode()) <= 65_536
    assert comment["body"].endswith("has all of it.\n")


def test_no_comment_if_it_is_turned_off_or_if_github_is_away(stage: Stage, request_event: dict[str, Any]) -> None:
    stage.run(request_event, comment="false")
    assert stage.github.requests == []
    ran = stage.run(request_event, variables={"GITHUB_API_URL": "http://127.0.0.1:9"})
    assert ran.failed == {}
    assert "::warning title=The comment was not written::" in ran.log


def test_an_answer_that_is_cut_off_fails_no_check() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        host, port = server.getsockname()

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[")

        answered = thread.submit(answer)
        api = Api(f"http://{host}:{port}", f"http://{host}:{port}/graphql", "acme/sounds", "")
        with pytest.raises(ApiRefused, match="IncompleteRead"):
            api.find_comment(7, MARKER, BOT)
        answered.result()
