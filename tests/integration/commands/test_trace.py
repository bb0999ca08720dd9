"""``prebake trace`` with a URL: real servers on loopback that answer as a container does, or do not."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from prebake.cli import main
from prebake.measure.trace.start_documents import StartUnreadable
from prebake.workflow import trace
from prebake.workflow.trace import ContainerUnreachable
from tests.support.http_server import QuietHandler, serving_http

STARTUP: dict[str, Any] = {
    "state": "ready",
    "ready_seconds": 0.2,
    "phases": [{"name": "launch", "start": 0.0, "seconds": 0.1}, {"name": "warm-up", "start": 0.1, "seconds": 0.1}],
}


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that gives this answer to every request: its URL, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving_http(Handler) as port:
        yield f"http://127.0.0.1:{port}", asked


@pytest.mark.parametrize(
    ("end", "path"),
    [("", "/startup"), ("/", "/startup"), ("/startup", "/startup"), ("/a/b/", "/a/b/startup"), ("/?x=1#y", "/startup")],
)
def test_the_start_of_a_server_is_asked_for(end: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(200, json.dumps(STARTUP).encode()) as (url, asked):
        assert main(["trace", url + end]) == 0
    assert asked == [path]
    printed = capsys.readouterr()
    events = json.loads(printed.out)["traceEvents"]
    assert [event["name"] for event in events if event["ph"] == "X"] == ["launch", "warm-up"]
    assert printed.err == ""


def test_a_server_that_is_not_ready_gives_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(200, json.dumps({**STARTUP, "state": "starting", "ready_seconds": None}).encode()) as (url, _):
        assert main(["trace", url]) == 0
    printed = capsys.readouterr()
    assert f"{url} is not ready" in printed.err
    assert json.loads(printed.out)["traceEvents"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b"{}", "answers GET /startup with status 404"),
        (302, b"", "answers GET /startup with status 302"),
        (200, b"<html>", "is no JSON document"),
        (200, b"{}", "has no start. The keys that were looked for"),
    ],
)
def test_another_server_is_refused(status: int, body: bytes, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(status, body) as (url, _):
        assert main(["trace", url]) == StartUnreadable.exit_code
    assert f"error: {url} {said}" in capsys.readouterr().err


def test_a_port_where_nothing_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert main(["trace", url]) == ContainerUnreachable.exit_code
    error = capsys.readouterr().err
    assert f"error: {url} does not answer: " in error
    assert "refused" in error
    assert "docker run -p" in error


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "names no host"),
        ("http://127.0.0.1:99999", "Port out of range"),
        ("http://127.0.0.1:x", "Port could not be cast"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://a b:1/", "does not answer"),
        ("http://127.0.0.1:1/a b\n", "does not answer"),
        ("https://no-such-host.invalid", "does not answer"),
    ],
)
def test_a_url_that_cannot_be_reached(url: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", url]) == ContainerUnreachable.exit_code
    assert said in capsys.readouterr().err


def test_a_server_that_speaks_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                client.recv(1024)

        thread = threading.Thread(target=greet)
        thread.start()
        assert main(["trace", f"http://127.0.0.1:{server.getsockname()[1]}"]) == ContainerUnreachable.exit_code
        thread.join()
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("length", ["", "Content-Length: 100000\r\n"])
def test_a_server_that_sends_a_byte_now_and_then(
    length: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "TIMEOUT_SECONDS", 1.0)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with server.accept()[0] as connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode())
                for _ in range(150):  # 15 s
                    connection.sendall(b" ")
                    if ended.wait(0.1):
                        break

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        code = main(["trace", url])
        ended.set()
        thread.join()
    assert code == ContainerUnreachable.exit_code
    assert f"error: {url} does not answer: it is still sending after 1 s" in capsys.readouterr().err


def test_an_answer_that_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        code = main(["trace", f"http://127.0.0.1:{server.getsockname()[1]}"])
        thread.join()
    assert code == ContainerUnreachable.exit_code
    assert "IncompleteRead" in capsys.readouterr().err
