"""A client that has sent its last byte still gets its answer; a client that is gone does not keep the model at work."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.container.raw import LIVE, RawClient, connected, post
from tests.support.container.running import Server, Start, wait_until

HOLD = b'{"values": "1,2,3,4", "manner": "hold"}'
PLAIN = b'{"values": "1,2,3,4"}'
LEFT = 'prebake_requests_total{path="/generate",status="499"}'


def test_a_half_closed_client_gets_its_answer(server: Server) -> None:
    for request in (LIVE, post(PLAIN), LIVE.replace(b"HTTP/1.1", b"HTTP/1.0")):
        with connected(server) as client:
            assert client.send(request).end().read().status == 200
            assert client.is_closed()


def test_it_gets_the_answers_to_all_its_requests(server: Server) -> None:
    with connected(server) as client:
        client.send((LIVE + post(PLAIN)) * 10 + LIVE[:20]).end()
        assert [client.read().status for _ in range(20)] == [200] * 20
        assert client.is_closed()


def test_it_gets_an_answer_that_takes_longer(start: Start) -> None:
    """An interim response may come first: it shows the server whether the client is still there."""
    server = start().wait_for("ready")
    with connected(server) as client:
        client.send(post(HOLD)).end()
        server.wait_for_note("holding")
        assert client.read().status == 100
        server.leave_note("release")
        assert next(answer.status for answer in iter(client.read, None) if answer.status != 100) == 200
        assert client.is_closed()
    assert server.metric(LEFT) is None


def test_a_client_that_closes_behind_a_proxy_is_noticed(start: Start) -> None:
    """The proxy keeps its connection to the server until it cannot write to the client any more, as Docker's does."""
    server = start().wait_for("ready")
    with forwarding_proxy(server.port) as port:
        client = socket.create_connection(("127.0.0.1", port), timeout=20)
        client.sendall(post(HOLD))
        server.wait_for_note("holding")
        client.close()
        wait_until(lambda: server.metric(LEFT) == 1, "the count of the client that left")


@contextlib.contextmanager
def forwarding_proxy(port: int) -> Iterator[int]:
    """Passes the bytes of one connection on, and the end of either direction. Its port."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RD)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def pass_on() -> None:
        with listening.accept()[0] as client, socket.create_connection(("127.0.0.1", port)) as server:
            other = threading.Thread(target=copy, args=(server, client))
            other.start()
            copy(client, server)
            other.join()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=pass_on, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(20)


def test_an_older_client_gets_no_interim_response(start: Start) -> None:
    server = start().wait_for("ready")
    with connected(server) as client:
        client.send(post(HOLD).replace(b"HTTP/1.1", b"HTTP/1.0")).end()
        server.wait_for_note("holding")
        client.socket.settimeout(3)
        with pytest.raises(TimeoutError):
            client.read()
        server.leave_note("release")
        client.socket.settimeout(20)
        assert client.read().status == 200


def test_a_half_closed_reader_of_events_gets_them(start: Start) -> None:
    server = start(PREBAKE_HEARTBEAT="0.1").wait_for("ready")
    with connected(server) as client:
        client.send(post(HOLD, "Accept: text/event-stream")).end()
        server.wait_for_note("holding")
        server.leave_note("release")
        rest = client.read_rest()
    assert b"event: answer" in rest
    assert rest.endswith(b"0\r\n\r\n")


def close(client: RawClient) -> None:
    client.close()


def reset(client: RawClient) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def end_and_close(client: RawClient) -> None:
    client.end().close()


@pytest.mark.parametrize("headers", [(), ("Accept: text/event-stream",)])
@pytest.mark.parametrize("leave", [close, reset, end_and_close])
def test_a_client_that_is_gone_is_noticed(
    start: Start, leave: Callable[[RawClient], None], headers: tuple[str, ...]
) -> None:
    server = start(PREBAKE_HEARTBEAT="0.5").wait_for("ready")
    with connected(server) as client:
        client.send(post(HOLD, *headers))
        server.wait_for_note("holding")
        leave(client)
        server.wait_for_note("cancelled")
    wait_until(lambda: server.metric(LEFT) == 1, "the count")
    wait_until(lambda: server.metric("prebake_connections") == 1, "its connection to be closed")
    assert server.events[-1].get("status") == 499


def test_a_client_that_leaves_after_it_was_asked_is_noticed(start: Start) -> None:
    server = start().wait_for("ready")
    with connected(server) as client:
        client.send(post(HOLD)).end()
        server.wait_for_note("holding")
        assert client.read().status == 100
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.wait_for_note("cancelled")


def test_the_kernel_asks_for_clients_that_say_nothing(server: Server) -> None:
    """Those whose machine is gone: by keepalive probes, which the kernel notes as a timer of the connection."""
    with connected(server) as client:
        client.send(LIVE).read()
        ours = client.socket.getsockname()[1]
        lines = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}").readlines()[1:]]  # noqa: SIM115, PTH123
        (timer,) = (
            line[5] for line in lines if line[2].endswith(f":{ours:04X}") and line[1].endswith(f":{server.port:04X}")
        )
    assert timer.startswith("02:"), "keepalive (proc(5))"
