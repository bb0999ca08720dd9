"""The access log, and the ids by which its lines and the answers belong together."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.container.raw import LIVE, ask, connected, post
from tests.support.container.running import Server, Start, wait_until

PLAIN = b'{"values": "1,2,3,4"}'
TRACE = "0af7651916cd43dd8448eb211c80319c"


def requests(server: Server) -> list[dict[str, Any]]:
    return [event for event in server.events if event["event"] == "request"]


def find(server: Server, request_id: str) -> dict[str, Any]:
    wait_until(lambda: any(line["request_id"] == request_id for line in requests(server)), f"the line of {request_id}")
    return next(line for line in requests(server) if line["request_id"] == request_id)


def test_a_line_says_what_was_asked_and_answered(server: Server) -> None:
    request = post(PLAIN, "X-Request-Id: mine/1", f"traceparent: 00-{TRACE}-b7ad6b7169203331-01")
    with connected(server) as client:
        response = client.send(request).read()
    assert response.headers["x-request-id"] == "mine/1"
    line = find(server, "mine/1")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/generate", 200)
    assert (line["bytes_in"], line["client"], line["model"], line["trace_id"]) == (
        len(request),
        "127.0.0.1",
        "tiny",
        TRACE,
    )
    assert len(response.body) < line["bytes_out"] < len(response.body) + 1000
    assert 0 < line["seconds"] < 60


@pytest.mark.parametrize("value", ["", "a b", '"}', "x" * 129, "a\x01b"])
def test_an_id_that_could_confuse_a_log_is_replaced(server: Server, value: str) -> None:
    response = ask(server, post(PLAIN, f"X-Request-Id: {value}", "traceparent: nonsense"))
    chosen = response.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", chosen)
    assert "trace_id" not in find(server, chosen)


def test_a_long_or_odd_path_is_bounded_and_escaped(server: Server) -> None:
    for number, path in enumerate(("/" + "a" * 5000, "/%0a%22%00%1b")):
        ask(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: odd{number}\r\n\r\n".encode())
        line = find(server, f"odd{number}")
        assert line["status"] == 404
        assert len(line["path"]) <= 201
    assert line["path"] == '/\n"\0\x1b'
    assert all(json.loads(line) for line in server.stderr.splitlines())


def test_probes_have_a_line_only_if_they_fail(start: Start) -> None:
    server = start(TINY_START="1").wait_for("starting")
    for _ in range(3):
        assert ask(server, LIVE).status == 200
        assert server.get("/metrics").status_code == 200
    failed = ask(server, LIVE.replace(b"live", b"ready"))
    assert (failed.status, failed.headers["retry-after"]) == (503, "1")
    assert find(server, failed.headers["x-request-id"])["status"] == 503
    lines = requests(server)
    assert {(line["path"], line["status"]) for line in lines} <= {("/v2/health/ready", 503), ("/health", 503)}
    assert server.get("/health").headers["retry-after"] == "1"


@pytest.mark.parametrize(("mode", "paths"), [("all", {"/v2/health/live", "/generate"}), ("off", set())])
def test_other_modes(start: Start, mode: str, paths: set[str]) -> None:
    server = start(PREBAKE_ACCESS_LOG=mode).wait_for("ready")
    last = [ask(server, request).headers["x-request-id"] for request in (LIVE, post(PLAIN))][-1]
    assert ask(server, b"nonsense\r\n\r\n").status == 400
    if mode == "all":
        find(server, last)
    assert paths <= {line["path"] for line in requests(server)}
    assert bool(requests(server)) == bool(paths)


def test_lines_about_a_request_have_its_id_and_no_others(start: Start) -> None:
    """Several requests of one connection, the last of which is no request."""
    server = start().wait_for("ready")
    with connected(server) as client:
        for name in ("first", "second"):
            client.send(post(PLAIN + b" " * 200_000, f"X-Request-Id: {name}")).read()
        refusal = client.send(b"nonsense\r\n\r\n").read()
    find(server, refusal.headers["x-request-id"])
    ids = [line["request_id"] for line in requests(server) if line["path"] in ("/generate", None)]
    assert ids == ["first", "second", refusal.headers["x-request-id"]]
