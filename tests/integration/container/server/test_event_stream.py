"""``POST /generate`` as server-sent events: what is sent, and when."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from typing import Any

import pytest

from entrypoints.server.event_stream import accepts_events
from tests.support.container.running import PATIENCE, Server, Start, wait_until
from tests.support.container.streams import ACCEPT, PLAIN, Event, Stream, streaming


def test_progress_arrives_while_the_model_works(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "steps") as stream:
        assert stream.response.status == 200
        assert stream.response.headers["content-type"] == "text/event-stream"
        assert stream.response.headers["cache-control"] == "no-store"
        assert stream.response.headers["transfer-encoding"] == "chunked"
        for step in (1, 2, 3):  # the model waits for each note: an event that is held back would never come
            server.leave_note(f"step-{step}")
            message = {"message": "half-way\n"} if step == 2 else {}
            assert stream.read() == Event("progress", {"step": step, "steps": 3, **message})
        assert server.metric("prebake_requests_in_flight") == 1
        server.leave_note("release")
        (end,) = stream.read_all()
    plain = server.post(json={**PLAIN, "manner": "steps"})
    assert end.name == "answer"
    assert end.data["json"] == plain.json()
    assert end.data["media_type"] == plain.headers["content-type"]
    assert end.data["headers"]["x-model"] == "tiny"
    assert "generate;dur=" in end.data["headers"]["server-timing"]


def test_the_connection_closes_after_the_answer(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        body = json.dumps(PLAIN)
        request = f"POST /generate HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{request}Content-Type: application/json\r\n\r\n{body}".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))  # ends only because the server closes
    assert received.count(b"event: answer\n") == 1
    assert received.endswith(b"0\r\n\r\n")


def test_a_client_of_http_1_0_gets_the_events_too(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        body = json.dumps(PLAIN)
        request = f"POST /generate HTTP/1.0\r\nAccept: text/event-stream\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{request}Content-Type: application/json\r\n\r\n{body}".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, events = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert events.startswith(b"event: answer\ndata: {")
    assert events.endswith(b"}\n\n")


def test_an_answer_that_is_no_json_comes_in_base64(server: Server) -> None:
    with streaming(server, "bytes") as stream:
        (event,) = stream.read_all()
    assert event.name == "answer"
    assert event.data["media_type"] == "application/octet-stream"
    assert base64.b64decode(event.data["body"]) == server.post(json={**PLAIN, "manner": "bytes"}).content != b""


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"manner": "refuse"}, 409),
        ({"manner": "crash"}, 500),
        ({"values": "1"}, 422),
    ],
)
def test_an_error_of_the_models_is_the_plain_ones_body(server: Server, form: dict[str, Any], status: int) -> None:
    stream = Stream(server, form)
    assert stream.response.status == 200
    (event,) = stream.read_all()
    stream.close()
    plain = server.post(json={**PLAIN, **form})
    assert plain.status_code == status
    assert event == Event("error", {"status": status, **plain.json()})


def test_errors_before_the_model_begins_stay_plain(server: Server) -> None:
    cases: dict[int, dict[str, Any]] = {
        422: {"json": {"value": "1"}},
        400: {"content": b"{", "headers": {"content-type": "application/json"}},
        415: {"content": b"x", "headers": {"content-type": "text/plain"}},
        413: {"content": bytes(10_000_001), "headers": {"content-type": "application/json"}},
    }
    for status, case in cases.items():
        plain = server.post(**case)
        asked = server.post(**{**case, "headers": {**case.get("headers", {}), **ACCEPT}})
        assert (asked.status_code, asked.headers["content-type"]) == (status, "application/json")
        assert asked.content == plain.content
    refused = server.get("/generate", headers=ACCEPT)
    assert (refused.status_code, refused.headers["content-type"]) == (405, "application/json")
    assert server.client.head("/generate", headers=ACCEPT).status_code == 405


def test_a_server_that_is_not_ready_or_full_refuses_plainly(start: Start) -> None:
    server = start(TINY_START="1").wait_for("starting")
    refusal = server.post(json=PLAIN, headers=ACCEPT)
    assert (refusal.status_code, refusal.headers["content-type"]) == (503, "application/json")
    server.leave_note("go")
    server.wait_for("ready")
    with contextlib.ExitStack() as stack:
        stack.enter_context(streaming(server, "hold"))
        queued = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        for connection in queued:
            body = json.dumps(PLAIN)
            connection.sendall(
                f"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            stack.enter_context(connection)
        wait_until(lambda: server.metric("prebake_queue_depth") == 2, "two requests in the queue")
        refusal = server.post(json=PLAIN, headers=ACCEPT)
        assert (refusal.status_code, refusal.headers["content-type"]) == (503, "application/json")
        assert "2 places" in refusal.json()["error"]["message"]
        server.leave_note("release")
        assert all(connection.recv(15) == b"HTTP/1.1 200 OK" for connection in queued)


def test_a_request_in_the_queue_is_told_its_place(start: Start) -> None:
    server = start().wait_for("ready")
    with contextlib.ExitStack() as stack:
        working = stack.enter_context(streaming(server, "steps"))
        server.leave_note("step-1")
        assert working.read_news() == Event("progress", {"step": 1, "steps": 3})
        leaving, last = (stack.enter_context(streaming(server, "plain")) for _ in range(2))
        assert leaving.read_news() == Event("queue", {"place": 1})
        assert last.read_news() == Event("queue", {"place": 2})
        leaving.close()
        assert last.read_news() == Event("queue", {"place": 1})
        for note in ("step-2", "step-3", "release"):
            server.leave_note(note)
        assert [event.name for event in working.read_all()][-1] == "answer"
        *places, answer = last.read_all()
    assert [event for event in places if event != Event("queue", {"place": 0})] == []
    assert answer.name == "answer"


def test_a_request_may_wait_for_readiness_and_then_stream(start: Start) -> None:
    server = start(TINY_START="1").wait_for("starting")
    server.wait_for_note("creating")
    server.leave_note("go")
    response = server.post(json=PLAIN, headers={**ACCEPT, "prefer": "wait=20"})
    assert response.headers["content-type"] == "text/event-stream"
    assert "event: answer\n" in response.text


def test_without_the_header_reports_change_nothing(server: Server) -> None:
    for accept in ("*/*", "application/json", "text/event-stream;q=0"):
        response = server.post(json={**PLAIN, "manner": "talk"}, headers={"accept": accept})
        assert response.headers["content-type"] == "application/json"
        assert "transfer-encoding" not in response.headers
        assert response.json() == server.post(json=PLAIN).json()


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        (b"text/event-stream", True),
        (b"application/json, Text/Event-Stream; q=0.5", True),
        (b"text/event-stream;charset=utf-8", True),
        (b"text/event-stream; q=0.0, */*", False),
        (b"text/event-streams", False),
        (b"*/*", False),
        (b"", False),
    ],
)
def test_who_accepts_events(accept: bytes, events: bool) -> None:
    assert accepts_events(accept) is events
