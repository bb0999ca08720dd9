"""Bodies that an attacker sends: none of them takes the server's memory, its liveness, or another client's place."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.container.baking import write_manifest
from tests.support.container.running import Server, Start, wait_until

PLAIN = {"values": "1,2,3,4"}
MEBIBYTE = 1024 * 1024
JSON = {"content-type": "application/json"}
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def roomy(models: Path, manifest: dict[str, Any], start: Start) -> Server:
    """A server whose model has no bound on its largest field but the body's limit, of 64 MiB."""
    manifest["limits"]["body_bytes"] = 64 * MEBIBYTE
    write_manifest(models, manifest)
    return start(TINY_UNBOUNDED="1", PREBAKE_REQUEST_MEMORY="1Gi").wait_for("ready")


def measure_memory(server: Server) -> int:
    """The largest memory that the server's processes ever had, in bytes."""

    def read_peak(process: int) -> int:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    return sum(map(read_peak, (server.process.pid, server.find_model_process())))


@contextmanager
def watched_liveness(server: Server) -> Iterator[list[float]]:
    """How long each answer to a liveness probe took, in seconds, while the block ran."""
    seconds: list[float] = []
    ended = threading.Event()

    def probe() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30, trust_env=False) as client:
            while not ended.is_set():
                began = time.monotonic()
                assert client.get("/v2/health/live").status_code == 200
                seconds.append(time.monotonic() - began)
                time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        probing = pool.submit(probe)
        try:
            yield seconds
        finally:
            ended.set()
            probing.result()


def fill(unit: bytes, before: bytes, after: bytes, size: int = 60_000_000) -> Callable[[], bytes]:
    return lambda: before + b",".join([unit] * (size // (len(unit) + 1))) + after


BOMBS: dict[str, tuple[dict[str, str], Callable[[], bytes]]] = {
    "empty objects": (JSON, fill(b"{}", b'{"values":[', b"]}")),
    "empty lists": (JSON, fill(b"[]", b'{"values":[', b"]}")),
    "numbers": (JSON, fill(b"1", b'{"values":[', b"]}")),
    "names": (JSON, lambda: json.dumps({f"name-{n}": n for n in range(2_500_000)}).encode()),
    "one name again and again": (JSON, fill(b'"values":1', b"{", b"}")),
    "wide characters": (JSON, lambda: b'{"values":"' + b"x" * 59_000_000 + '😀"}'.encode()),
    "escapes": (URLENCODED, lambda: b"values=" + b"%41" * 20_000_000),
    "escapes within the limit of a form": (URLENCODED, lambda: b"values=" + b"%41" * 5_000_000),
    "pairs": (URLENCODED, lambda: b"&".join([b"a=1"] * 15_000_000)),
    "line ends": ({"content-type": "multipart/form-data; boundary=b"}, lambda: b"--b" + b"\r\n" * 30_000_000),
    "boundaries": ({"content-type": "multipart/form-data; boundary=b"}, lambda: b"\r\n--b" * 12_000_000),
    "compressed zeros": ({**JSON, "content-encoding": "gzip"}, lambda: gzip.compress(bytes(2_000_000_000), 1)),
    "compressed spaces": ({**JSON, "content-encoding": "deflate"}, lambda: b"x" * 60_000_000),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_body_takes_more_memory_than_its_budget_or_holds_up_liveness(roomy: Server, bomb: str) -> None:
    headers, make = BOMBS[bomb]
    body = make()
    before = measure_memory(roomy)
    with watched_liveness(roomy) as seconds:
        response = httpx.post(
            f"http://127.0.0.1:{roomy.port}/generate", content=body, headers=headers, timeout=120, trust_env=False
        )
    assert 400 <= response.status_code < 500, response.text[:500]
    assert len(response.content) < 10_000
    assert measure_memory(roomy) - before < 900 * MEBIBYTE
    assert max(seconds) < 10
    assert roomy.post(json=PLAIN).status_code == 200


def test_bodies_that_become_large_share_one_budget(roomy: Server) -> None:
    """Each of them would fit alone."""
    content = gzip.compress(json.dumps({**PLAIN, "manner": "hold", "clip": "A" * 40_000_000}).encode())
    before = measure_memory(roomy)

    def post() -> int:
        with suppress(httpx.HTTPError):
            headers = {**JSON, "content-encoding": "gzip"}
            url = f"http://127.0.0.1:{roomy.port}/generate"
            return httpx.post(url, content=content, headers=headers, timeout=60, trust_env=False).status_code
        return 0

    with ThreadPoolExecutor(16) as pool:
        posts = [pool.submit(post) for _ in range(16)]
        wait_until(lambda: sum(post.done() for post in posts) >= 13, "refusals", 60)
        roomy.leave_note("release")
        codes = [post.result() for post in posts]
    assert set(codes) <= {200, 413, 503}
    assert measure_memory(roomy) - before < 900 * MEBIBYTE
    assert roomy.post(json=PLAIN).status_code == 200


def test_many_unknown_names_are_told_in_a_few_lines(start: Start) -> None:
    server = start().wait_for("ready")
    document = {f"valuez{n}": n for n in range(100_000)} | {"x" * 100_000: 1}
    with watched_liveness(server) as seconds:
        response = server.post(json=document)
    assert response.status_code == 422
    assert len(response.content) < 10_000
    assert "100002 fields are wrong" in response.json()["error"]["message"]
    assert max(seconds) < 5


def open_request(server: Server, length: int, begin: bytes = b"{") -> socket.socket:
    """A connection that has sent the first byte of a body."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = f"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + begin)
    return connection


def test_clients_that_send_one_byte_keep_no_place_from_others(start: Start) -> None:
    server = start().wait_for("ready")
    waiting = [open_request(server, 1000) for _ in range(50)]
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 50, "50 bodies that have begun")
    assert [server.post(json=PLAIN).status_code for _ in range(3)] == [200] * 3
    for connection in waiting:
        connection.close()
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 0, "the end of all")


def test_a_body_that_does_not_go_on_is_given_up(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["limits"]["seconds"] = 1.5
    write_manifest(models, manifest)
    server = start().wait_for("ready")
    with open_request(server, 1000) as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 408
        assert "did not arrive in time" in json.loads(response.read())["error"]["message"]


def test_the_queue_counts_in_the_deadline(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["limits"]["seconds"] = 2
    write_manifest(models, manifest)
    server = start(PREBAKE_HANG_MARGIN="60").wait_for("ready")
    with ThreadPoolExecutor(1) as pool:
        deaf = pool.submit(server.post, json={**PLAIN, "manner": "deaf"})
        server.wait_for_note("holding")
        behind = server.post(json=PLAIN)
        assert (behind.status_code, deaf.result().status_code) == (504, 504)
    assert "still in the queue" in behind.json()["error"]["message"]
    assert server.get("/v2/health/live").status_code == 200


def test_a_model_that_does_not_stop_ends_the_server_with_its_code(
    models: Path, manifest: dict[str, Any], start: Start
) -> None:
    manifest["limits"]["seconds"] = 1
    write_manifest(models, manifest)
    server = start(PREBAKE_HANG_MARGIN="0.5").wait_for("ready")
    assert server.post(json={**PLAIN, "manner": "deaf"}).status_code == 504
    server.wait_for("failed")
    assert server.get("/v2/health/live").status_code == 503
    assert server.wait() == 87
    (fault,) = [event for event in server.events if event["event"] == "fault"]
    assert "still works on a request" in fault["reason"]


def test_a_model_process_that_stands_still_ends_the_server_with_its_code(
    models: Path, manifest: dict[str, Any], start: Start
) -> None:
    """Stopped, it reads nothing: what is sent to it must not hold up the event loop."""
    manifest["limits"]["seconds"] = 2
    write_manifest(models, manifest)
    server = start(PREBAKE_HANG_MARGIN="2").wait_for("ready")
    os.kill(server.find_model_process(), signal.SIGSTOP)
    body = json.dumps({**PLAIN, "clip": "A" * 8_000_000})
    with ThreadPoolExecutor(3) as pool:
        posts = [pool.submit(server.post, content=body, headers=JSON) for _ in range(3)]
        with watched_liveness(server) as seconds:
            assert {post.result().status_code for post in posts} <= {500, 504}
    assert max(seconds) < 1.5
    server.wait_for("failed")
    assert server.wait() == 87
