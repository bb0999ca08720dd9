"""Many connections, few files: liveness stays reachable, and the log readable."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.container.raw import LIVE, RawClient, ask, connected, post
from tests.support.container.running import Server, Start, wait_until

PLAIN = b'{"values": "1,2,3,4"}'
MANY = 1000
PATIENT = b"\r\nPrefer: wait=100\r\n\r\n"


@contextlib.contextmanager
def limited_files(limit: int) -> Iterator[None]:
    """For processes that start in here."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def many_clients(server: Server, number: int, first: bytes = b"") -> Iterator[list[RawClient]]:
    """``first``: what each sends; its answer is read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, number + 500), hard), hard))
    clients: list[RawClient] = []
    try:
        for _ in range(number):
            client = RawClient(server)
            clients.append(client)
            if first:
                client.send(first).read()
        yield clients
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def count_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def count_overload(server: Server) -> float:
    text = ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").body.decode()
    return next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith("prebake_overload_connections_total")
    )


def measure_cpu_seconds(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_thousand_silent_connections(start: Start) -> None:
    with limited_files(256):
        server = start().wait_for("ready")
    with many_clients(server, MANY):
        for _ in range(20):
            assert ask(server, LIVE).status == 200
        assert ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
        assert count_files(server) < 256
        wait_until(lambda: ask(server, post(PLAIN)).status == 200, "a place of one that was silent for too long")
    wait_until(lambda: ask(server, post(PLAIN)).status == 200, "their places")
    assert all(line.startswith("{") for line in server.stderr.splitlines())
    assert len([event for event in server.events if event["event"] == "connections exhausted"]) <= 10


def test_the_oldest_idle_connection_makes_room(start: Start) -> None:
    server = start(PREBAKE_MAX_CONNECTIONS="30").wait_for("ready")
    server.client.close()
    with many_clients(server, 40, LIVE) as clients:
        assert ask(server, post(PLAIN)).status == 200
        assert clients[0].is_closed()
        assert clients[5].is_closed()
        assert clients[-1].send(LIVE).read().status == 200


def test_if_none_is_idle_others_are_turned_away(start: Start) -> None:
    server = start(PREBAKE_MAX_CONNECTIONS="20", TINY_START="1").wait_for("starting")
    server.client.close()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(server)).send(LIVE.replace(b"live", b"ready").replace(b"\r\n\r\n", PATIENT))
        wait_until(lambda: count_overload(server) > 0, "those that wait for readiness")
        response = ask(server, post(PLAIN))
        assert (response.status, response.headers["retry-after"], response.headers["connection"]) == (503, "1", "close")
        assert "PREBAKE_MAX_CONNECTIONS" in response.message
        for path in ("/v2/health/live", "/metrics"):
            assert ask(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == 200
        patient = ask(server, LIVE.replace(b"live", b"ready").replace(b"\r\n\r\n", PATIENT))
        assert b'"ready": false' in patient.body, "a probe waits for nothing"
        with contextlib.ExitStack() as silent:
            turned_away = [silent.enter_context(connected(server)) for _ in range(60)]
            assert ask(server, LIVE).status == 200
            first = turned_away[0].read()
            assert (first.status, first.headers["retry-after"]) == (503, "1")
        assert count_overload(server) >= 60
        server.leave_note("go")
    wait_until(lambda: ask(server, post(PLAIN)).status == 200, "a place")


def test_without_one_more_file_nothing_spins_and_little_is_logged(start: Start) -> None:
    """Also if files are used up otherwise than by connections: here the limit falls while the server runs."""
    server = start().wait_for("ready")
    server.client.close()
    used = count_files(server)
    before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 3, before[1]))
    with many_clients(server, 200) as clients:
        time.sleep(1)
        began, cpu = time.monotonic(), measure_cpu_seconds(server)
        time.sleep(3)
        assert measure_cpu_seconds(server) - cpu < 0.5 * (time.monotonic() - began)
        lines = server.stderr.splitlines()
        assert len(lines) < 100
        assert all(line.startswith("{") for line in lines)
        assert any("limit of open files" in str(event.get("text")) for event in server.events)
        for client in clients:
            client.close()
        wait_until(lambda: ask(server, LIVE).status == 200, "an answer, as files are free again")
