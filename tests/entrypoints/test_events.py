"""``POST /generate`` as server-sent events, read line by line as they arrive."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from entrypoints.events import accepts_events
from tests.entrypoints.baking import write_manifest
from tests.entrypoints.conftest import Start
from tests.entrypoints.running import PATIENCE, Server, wait_until

PLAIN = {"values": "1,2,3,4"}
ACCEPT = {"accept": "text/event-stream"}


class Event(NamedTuple):
    """A comment has no name, and its text as data."""

    name: str
    data: Any


class Stream:
    """A request whose events are read one by one: nothing is read ahead of what is asked for."""

    def __init__(self, server: Server, form: dict[str, Any], receive_buffer: int = 0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._connection.sock = socket.socket()
        self._connection.sock.settimeout(PATIENCE)
        if receive_buffer:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._connection.sock.connect(("127.0.0.1", server.port))
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        self._connection.request("POST", "/generate", json.dumps({**PLAIN, **form}), headers)
        self.response = self._connection.getresponse()

    def read(self) -> Event | None:
        """The next event or comment; None at the end."""
        name, data = "", []
        while line := self.response.readline().decode():
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)
            elif line == "\n":
                return Event(name, json.loads("\n".join(data)) if name else "\n".join(data))
            else:
                assert (key, name) == ("", ""), f"neither a field nor a comment: {line!r}"
                data.append(value)
        return None

    def read_news(self) -> Event | None:
        """The next event that is no comment."""
        return next((event for event in iter(self.read, None) if event.name), None)

    def read_all(self) -> list[Event]:
        return list(iter(self.read_news, None))

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@contextlib.contextmanager
def streaming(server: Server, manner: str, **options: Any) -> Iterator[Stream]:
    stream = Stream(server, {"manner": manner}, **options)
    try:
        yield stream
    finally:
        stream.close()


def error_of(stream: Stream) -> tuple[int, str]:
    """Status and message of the only event that is left."""
    (event,) = stream.read_all()
    assert event.name == "error"
    return event.data["status"], event.data["error"]["message"]


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
        wait_until(lambda: server.metric("prebake_queue") == 2, "two requests in the queue")
        refusal = server.post(json=PLAIN, headers=ACCEPT)
        assert (refusal.status_code, refusal.headers["content-type"]) == (503, "application/json")
        assert "2 places" in refusal.json()["error"]["message"]
        server.leave_note("release")
        assert all(connection.recv(15) == b"HTTP/1.1 200 OK" for connection in queued)


def test_a_request_may_wait_for_readiness_and_then_stream(start: Start) -> None:
    server = start(TINY_START="1").wait_for("starting")
    server.wait_for_note("creating")
    server.leave_note("go")
    response = server.post(json=PLAIN, headers={**ACCEPT, "prefer": "wait=20"})
    assert response.headers["content-type"] == "text/event-stream"
    assert "event: answer\n" in response.text


def test_comments_keep_a_silent_line_open(start: Start) -> None:
    server = start(PREBAKE_HEARTBEAT="0.02").wait_for("ready")
    with streaming(server, "hold") as stream:
        assert [stream.read() for _ in range(3)] == [Event("", "at work")] * 3
        server.leave_note("release")
        assert [event.name for event in stream.read_all()] == ["answer"]
    silent = start(PREBAKE_HEARTBEAT="0").wait_for("ready")
    silent.leave_note("release")
    assert silent.post(json={**PLAIN, "manner": "hold"}, headers=ACCEPT).text.startswith("event: answer\n")


def test_a_hang_up_cancels_the_work(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "steps") as stream:
        server.leave_note("step-1")
        assert stream.read() == Event("progress", {"step": 1, "steps": 3})
    server.wait_for_note("cancelled")
    wait_until(lambda: server.metric('prebake_requests_total{path="/generate",status="499"}') == 1, "the count")
    assert server.metric("prebake_requests_in_flight") == 0
    assert server.post(json=PLAIN).status_code == 200


def test_who_reads_slowly_delays_nobody_and_misses_some(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "talk", receive_buffer=4096) as stream:
        server.wait_for_note("talked")  # 100 MB were reported, and next to nothing was read
        assert server.post(json=PLAIN).status_code == 200
        *progress, end = stream.read_all()
    steps = [event.data["step"] for event in progress]
    assert steps == sorted(set(steps))
    assert steps[-1] == progress[-1].data["steps"], "the last report is always told"
    assert len(steps) < steps[-1]
    assert end.name == "answer"


def test_a_request_has_only_so_many_seconds(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["limits"]["seconds"] = 0.3
    write_manifest(models, manifest)
    server = start().wait_for("ready")
    with streaming(server, "hold") as stream:
        status, message = error_of(stream)
    assert status == 504
    assert "0.3 s" in message
    server.wait_for_note("cancelled")
    assert server.metric('prebake_requests_total{path="/generate",status="504"}') == 1


def test_a_reader_that_never_reads_keeps_no_place(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["limits"]["seconds"] = 1
    write_manifest(models, manifest)
    server = start().wait_for("ready")
    with streaming(server, "talk", receive_buffer=4096):
        wait_until(lambda: server.metric("prebake_requests_in_flight") == 0, "its place to be free again")
        assert server.post(json=PLAIN).status_code == 200


def test_the_metrics_count_a_stream_as_the_request_that_it_is(start: Start) -> None:
    server = start().wait_for("ready")
    for manner in ("plain", "crash"):
        assert server.post(json={**PLAIN, "manner": manner}, headers=ACCEPT).status_code == 200
    assert server.metric("prebake_generate_seconds_count") == 1
    assert server.metric('prebake_requests_total{path="/generate",status="200"}') == 1
    assert server.metric('prebake_requests_total{path="/generate",status="500"}') == 1
    assert server.metric("prebake_requests_in_flight") == 0


def test_a_termination_lets_the_stream_finish(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "hold") as stream:
        server.wait_for_note("holding")
        server.terminate()
        server.wait_for("draining")
        server.leave_note("release")
        assert [event.name for event in stream.read_all()] == ["answer"]
    assert server.wait() == 0


@pytest.mark.parametrize("manner", ["hold", "deaf"])
def test_the_end_of_the_grace_period_ends_the_stream_with_an_error(start: Start, manner: str) -> None:
    """Also where the model does not hear that it should stop."""
    server = start(PREBAKE_GRACE="0.2").wait_for("ready")
    with streaming(server, manner) as stream:
        server.wait_for_note("holding")
        server.terminate()
        status, message = error_of(stream)
    assert status == 503
    assert "stopping" in message
    assert server.wait() == 0


def test_the_end_of_the_models_process_is_an_error_event(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "hold") as stream:
        server.wait_for_note("holding")
        os.kill(server.find_model_process(), signal.SIGKILL)
        status, message = error_of(stream)
    assert status == 500
    assert "ended" in message


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
