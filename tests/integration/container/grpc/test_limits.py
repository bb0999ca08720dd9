"""A gRPC server whose clients are slow, hostile or many, and one that cannot start."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.container.grpc_client import GRPC, INFER, find_grpc_port, grpc_channel, grpc_client
from tests.support.container.running import Server, Start, wait_until


def test_a_slow_message_keeps_no_probe_waiting(speaking: Server) -> None:
    """Calls that never send their message hold every place, and those of probes."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    ended = threading.Event()

    def send_nothing() -> Iterator[bytes]:
        ended.wait(20)
        yield from ()

    with grpc_channel(find_grpc_port(speaking)) as channel:
        paths = [INFER] * 50 + ["/grpc.health.v1.Health/Check"] * 30
        silent = [channel.stream_unary(path).future(send_nothing(), timeout=30) for path in paths]
        with grpc_client(find_grpc_port(speaking)) as client:
            assert client.is_server_live(client_timeout=5)
            assert client.is_server_ready(client_timeout=5)
            assert client.is_model_ready("tiny", client_timeout=5)
        with grpc_channel(find_grpc_port(speaking)) as other:
            stub = health_pb2_grpc.HealthStub(other)
            assert stub.Check(health_pb2.HealthCheckRequest(service="live"), timeout=5).status == 1
        for call in silent:
            call.cancel()
        ended.set()


def test_bytes_that_are_no_http_2_are_no_line_of_text(speaking: Server) -> None:
    port = find_grpc_port(speaking)
    for content in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    assert speaking.events, "each line is JSON"


def test_a_port_that_is_taken_ends_the_start(start: Start, speaking: Server) -> None:
    server = start(PREBAKE_GRPC_PORT=str(find_grpc_port(speaking)))
    assert server.wait() == 77
    (fault,) = server.find_events("fault")
    assert "address cannot be bound" in fault["reason"]


def test_without_the_variable_no_module_of_grpc_is_imported(start: Start) -> None:
    server = start().wait_for("ready")
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "cygrpc" not in loaded
    assert not server.find_events("grpc live")


BURST = """
import sys, grpc
with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
    message = b"\\x0a\\x04tiny" + b"\\x3a\\xc0\\xa8\\xa5\\x04" + bytes(9_000_000)
    ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    print(*{call.code().name for call in [ask.future(message, timeout=60) for _ in range(60)]})
"""
"""Sixty large messages at once. Each is refused: the queue is full, or the message does not fit the model."""


def test_refused_messages_leave_the_memory(start: Start) -> None:
    server = start(**GRPC).wait_for("ready")
    port = str(find_grpc_port(server))
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", BURST, port], capture_output=True, text=True, check=True)
        assert set(ended.stdout.split()) <= {"RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"}

    def measure_resident() -> int:
        return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    wait_until(
        lambda: measure_resident() < 130 << 20, "the memory of the messages"
    )  # a third of it is a server without any
