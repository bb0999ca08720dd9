"""Where a container listens, and how that is told."""

from __future__ import annotations

import socket
import subprocess
import sys

import httpx
import pytest

from entrypoints.processes.log import show_client
from tests.support.container.running import Server, Start, find_port
from tests.support.processes.confined import with_ipv6_only, without_ipv6

LIVE = "/v2/health/live"


def ask(address: str) -> int:
    return httpx.get(f"{address}{LIVE}", timeout=20, trust_env=False).status_code


def read_address(server: Server) -> str:
    """Told twice: as soon as the server answers, and with ready."""
    addresses = {server.wait_for_event(name)["address"] for name in ("live", "ready")}
    assert len(addresses) == 1
    return str(addresses.pop())


def test_one_socket_takes_ipv6_and_ipv4(start: Start) -> None:
    server = start(PREBAKE_HOST="")
    assert read_address(server) == f"http://[::]:{server.port}"
    assert [ask(f"http://{host}:{server.port}") for host in ("127.0.0.1", "[::1]")] == [200, 200]


@pytest.mark.parametrize(
    ("host", "shown", "others"),
    [
        ("0.0.0.0", "0.0.0.0", ["[::1]"]),
        ("127.0.0.1", "127.0.0.1", ["[::1]"]),
        ("::1", "[::1]", ["127.0.0.1"]),
        ("::", "[::]", []),
    ],
)
def test_a_host_that_is_given_is_taken(start: Start, host: str, shown: str, others: list[str]) -> None:
    server = start(PREBAKE_HOST=host)
    address = read_address(server)
    assert address == f"http://{shown}:{server.port}"
    assert ask(address) == 200
    for other in others:
        with pytest.raises(httpx.ConnectError):
            ask(f"http://{other}:{server.port}")


def test_a_free_port_is_told(start: Start) -> None:
    server = start(PREBAKE_PORT="0")
    address = read_address(server)
    assert not address.endswith(":0")
    assert ask(address) == 200


@pytest.mark.parametrize("ours", ["", "tcp://10.96.0.7:8000"])
def test_the_platform_s_port_counts_without_ours(start: Start, ours: str) -> None:
    """The second value is Kubernetes' own, of a Service that is named prebake."""
    port = str(find_port())
    server = start(PREBAKE_PORT=ours, PORT=port)
    assert read_address(server) == f"http://127.0.0.1:{port}"
    assert not server.find_events("unknown variables")


def test_our_port_comes_before_the_platform_s(start: Start) -> None:
    server = start(PREBAKE_PORT=str(find_port()), PORT="1")
    assert read_address(server) == f"http://127.0.0.1:{server.port}"


def test_a_wrong_port_of_the_platform_has_its_own_name_in_the_reason(start: Start) -> None:
    server = start(PREBAKE_PORT="", PORT="http")
    assert server.wait() == 78
    assert "PORT='http': give a whole number from 0 to 65535" in server.find_events("fault")[0]["reason"]


def test_without_ipv6_in_the_kernel_ipv4_is_served(start: Start) -> None:
    server = start(without_ipv6(), PREBAKE_HOST="")
    assert read_address(server) == f"http://0.0.0.0:{server.port}"
    assert ask(f"http://127.0.0.1:{server.port}") == 200


def test_an_address_of_ipv6_that_is_asked_for_is_not_replaced(start: Start) -> None:
    server = start(without_ipv6(), PREBAKE_HOST="::")
    assert server.wait() == 77
    assert "Address family not supported" in server.find_events("fault")[0]["reason"]


def test_a_network_of_ipv6_alone_reaches_it(start: Start) -> None:
    server = start(with_ipv6_only(), PREBAKE_HOST="")
    assert read_address(server) == f"http://[::]:{server.port}"
    program = f"import urllib.request as r; print(r.urlopen('http://[::1]:{server.port}{LIVE}').status)"
    inside = ["nsenter", "--net", "--target", str(server.process.pid), sys.executable, "-c", program]
    assert subprocess.run(inside, capture_output=True, text=True, check=True).stdout.strip() == "200"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_address_that_only_one_family_has_taken_is_in_use(start: Start, family: socket.AddressFamily) -> None:
    with socket.socket(family) as taken:
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("", 0))
        taken.listen()
        server = start(PREBAKE_HOST="", PREBAKE_PORT=str(taken.getsockname()[1]))
        assert server.wait() == 77


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff", "::ffff"),
        ("", ""),
    ],
)
def test_a_client_of_ipv4_is_shown_as_one(host: str, shown: str) -> None:
    assert show_client(host) == shown
