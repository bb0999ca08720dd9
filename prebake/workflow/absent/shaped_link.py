"""Two networks of which one reaches the other by a link with a chosen bit rate: a node and a registry.

The link is a pair of veth interfaces in namespaces of their own, so other processes do not see it, no route or firewall of the
machine touches it, and its names and addresses are the same each time.
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from prebake.io import subprocesses
from prebake.io.log import Log
from prebake.io.subprocesses import CommandFailed
from prebake.workflow.absent.bit_rate import format_network
from prebake.workflow.absent.errors import StateUnavailable
from prebake.workflow.absent.isolated_thread import IsolatedThread, isolated_thread

REGISTRY_ADDRESS, NODE_ADDRESS = "10.0.0.1", "10.0.0.2"
_PREFIX = 30
_INTERFACE = "link0"
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

_BURST_SECONDS = 0.001
"""The bucket holds what the link carries in this time. After a pause, so many bytes pass at once. A smaller bucket would cost
rate, since the kernel's timer fills it a little late."""
_LEAST_BURST_BYTES = 128 << 10
"""Above the largest packet that the kernel hands to an interface in one piece (64 KiB), which would otherwise be cut up."""
_QUEUE_MILLISECONDS = 20
"""How long a packet may wait for the link before it is dropped, as in the buffer of a switch."""

_MEASURED_SECONDS = 0.5
_LEAST_SHARE = 0.9
"""A link is slower than asked if less than this share of its rate is found. At an MTU of 1500, TCP's payload is at most
1448 of 1514 bytes of a frame: 0.956."""
_CHUNK_BYTES = 256 << 10


@dataclass(frozen=True)
class Link:
    """``bits_per_second`` is the rate that was asked for, ``achieved`` the bits per second of payload that one TCP connection had
    from the registry to the node."""

    node: IsolatedThread
    registry: IsolatedThread
    bits_per_second: int
    achieved: float

    def reshape(self, bits_per_second: int) -> Link:
        """Give the link another rate."""
        _shape_both(self.registry, self.node, bits_per_second)
        return replace(self, bits_per_second=bits_per_second, achieved=_measure(self.registry, self.node))

    @property
    def slower(self) -> bool:
        """Whether this machine does not reach the rate."""
        return self.achieved < _LEAST_SHARE * self.bits_per_second

    def description(self) -> str:
        asked, achieved = format_network(self.bits_per_second), format_network(self.achieved)
        if self.slower:
            return (
                f"asked for {asked}, but this machine moves only {achieved}: pulls take longer than on such a network"
            )
        return f"{asked}; {achieved} of payload measured"


@contextmanager
def shaped_link(bits_per_second: int, log: Log) -> Iterator[Link]:
    """Make both networks and the link for the length of the block. Raises StateUnavailable."""
    with isolated_thread() as registry, isolated_thread() as node:
        try:
            _connect(registry, node)
            _shape_both(registry, node, bits_per_second)
        except CommandFailed as failed:
            raise StateUnavailable(
                f"The link of `--state absent` cannot be made: {failed.message}",
                next_action="the kernel needs veth and sch_tbf (`modprobe veth sch_tbf`)",
            ) from failed
        link = Link(node, registry, bits_per_second, _measure(registry, node))
        log(f"network: {link.description()}")
        yield link


def find_program(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


def _connect(registry: IsolatedThread, node: IsolatedThread) -> None:
    registry.run(
        _run, "ip", "link", "add", _INTERFACE, "type", "veth", "peer", "name", _INTERFACE, "netns", node.network
    )
    for end, address in ((registry, REGISTRY_ADDRESS), (node, NODE_ADDRESS)):
        end.run(_run, "ip", "address", "add", f"{address}/{_PREFIX}", "dev", _INTERFACE)
        end.run(_run, "ip", "link", "set", "lo", "up")
        end.run(_run, "ip", "link", "set", _INTERFACE, "up")


def _shape_both(registry: IsolatedThread, node: IsolatedThread, bits_per_second: int) -> None:
    for end in (registry, node):
        end.run(_shape, bits_per_second)


def _shape(bits_per_second: int) -> None:
    """A token bucket (tc-tbf(8)) on the way out of the interface. It adds no delay to a packet that the link has room for."""
    burst = max(_LEAST_BURST_BYTES, round(bits_per_second / 8 * _BURST_SECONDS))
    limits = ("rate", f"{bits_per_second}bit", "burst", str(burst), "latency", f"{_QUEUE_MILLISECONDS}ms")
    _run("tc", "qdisc", "replace", "dev", _INTERFACE, "root", "tbf", *limits)


def _measure(registry: IsolatedThread, node: IsolatedThread) -> float:
    """Payload bits per second of one TCP connection."""
    with registry.run(partial(socket.create_server, (REGISTRY_ADDRESS, 0))) as server:
        sender = threading.Thread(target=_send, args=(server,), name="rate")
        sender.start()
        try:
            with node.run(partial(socket.create_connection, server.getsockname(), 10)) as client:
                return 8 * _receive(client)
        finally:
            sender.join()


def _send(server: socket.socket) -> None:
    server.settimeout(10)
    data = bytes(_CHUNK_BYTES)
    with server.accept()[0] as connection:
        deadline = time.perf_counter() + _MEASURED_SECONDS
        while time.perf_counter() < deadline:
            connection.sendall(data)


def _receive(client: socket.socket) -> float:
    """Bytes per second from the first byte to the end of the connection."""
    buffer = bytearray(_CHUNK_BYTES)
    received = client.recv_into(buffer)
    begin = time.perf_counter()
    later = 0
    while count := client.recv_into(buffer):
        later += count
    seconds = time.perf_counter() - begin
    return (later or received) / seconds


def _run(program: str, *words: str) -> None:
    subprocesses.run([find_program(program) or program, *words])
