"""A private Engine's bridge, address range and packet rules.

Two dockerd on one machine fight over the bridge ``docker0`` and over iptables' ``DOCKER`` chains: each flushes them when it
starts. So the private dockerd is configured to leave iptables alone, and gets three rules of ours instead, marked by a comment.
Ports published on loopback need no rule: Docker's user-space proxy serves them.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import shutil
import socket
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

from prebake.documents.canonical import canonical_json
from prebake.errors import EngineUnavailable
from prebake.io import subprocesses
from prebake.io.atomic_write import write_bytes
from prebake.io.log import Log
from prebake.io.subprocesses import CommandFailed

# linux/sockios.h, if.h, if_arp.h
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFHWADDR = 0x8914, 0x8916, 0x891C, 0x8924
_SIOCBRADDBR, _SIOCBRDELBR = 0x89A0, 0x89A1
_IFF_UP, _ARPHRD_ETHER = 1, 1
_RANGES = [ipaddress.ip_network(f"10.209.{index}.0/24") for index in range(256)]


@dataclass(frozen=True)
class Network:
    """A bridge's name, and the /24 that it and its containers take their addresses from."""

    bridge: str
    addresses: str

    @property
    def address(self) -> str:
        """The bridge's own address, with its prefix length."""
        return f"{ipaddress.ip_network(self.addresses)[1]}/24"

    @property
    def ethernet_address(self) -> bytes:
        """The bridge's own Ethernet address, six bytes: locally administered, unicast.

        A bridge without one takes the lowest of its ports'. That one changes as containers come and go, and a container that
        still has the earlier one in its ARP table sends its packets to nobody until the entry expires: up to half a minute.
        """
        return b"\x02" + hashlib.sha256(self.bridge.encode()).digest()[:5]


def choose(home: Path) -> Network:
    """The bridge of the private Engine in ``home``, with the first address range that no route of this machine overlaps."""
    name = "pb-" + hashlib.sha256(str(home).encode()).hexdigest()[:8]
    taken = [route for interface, route in _routes() if interface != name]
    for addresses in _RANGES:
        if not any(addresses.overlaps(route) for route in taken):
            return Network(name, str(addresses))
    raise EngineUnavailable(
        "No address range in 10.209.0.0/16 is free for a private Engine.",
        next_action="install and start Docker Engine yourself",
    )


def set_up(network: Network, record: Path, log: Log) -> None:
    """Make the bridge and the rules, and record them for ``tear_down``. Repeatable."""
    write_bytes(record, canonical_json(asdict(network)))
    log(f"network: bridge {network.bridge}, {network.addresses}")
    _make_bridge(network)
    for rule in _rules(network):
        if not _iptables(rule, "-C", check=False):
            _iptables(rule, "-I")


def tear_down(record: Path) -> None:
    """Remove what ``set_up`` recorded. Repeatable."""
    if not record.exists():
        return
    network = Network(**json.loads(record.read_text()))
    for rule in _rules(network):
        while _iptables(rule, "-C", check=False):
            _iptables(rule, "-D")
    _remove_bridge(network.bridge)
    record.unlink()


def _rules(network: Network) -> list[tuple[str, list[str]]]:
    comment = ["-m", "comment", "--comment", f"prebake {network.bridge}"]
    addresses = network.addresses
    return [
        ("nat POSTROUTING", ["-s", addresses, "!", "-d", addresses, *comment, "-j", "MASQUERADE"]),
        (
            "filter FORWARD",
            ["-d", addresses, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", *comment, "-j", "ACCEPT"],
        ),
        ("filter FORWARD", ["-s", addresses, *comment, "-j", "ACCEPT"]),
    ]


def _iptables(rule: tuple[str, list[str]], action: str, *, check: bool = True) -> bool:
    table, chain = rule[0].split()
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin") or "iptables"
    try:
        return subprocesses.run([program, "-w", "-t", table, action, chain, *rule[1]], check=check).exit_code == 0
    except CommandFailed as failed:
        raise EngineUnavailable(
            f"Prebake cannot add packet rules for the private Engine's network: {failed.message}",
            next_action="install and start Docker Engine yourself, or run on a machine where you may change iptables",
        ) from failed


def _routes() -> list[tuple[str, ipaddress.IPv4Network]]:
    """Every IPv4 route but the default one, with its interface. /proc/net/route has addresses as host-order hex."""
    routes = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, *_, mask = line.split()[:8]
        if int(mask, 16):
            address, bits = (socket.inet_ntoa(struct.pack("=I", int(word, 16))) for word in (destination, mask))
            routes.append((interface, ipaddress.IPv4Network(f"{address}/{bits}", strict=False)))
    return routes


def _make_bridge(network: Network) -> None:
    """By ioctl: a fresh Debian has no iproute2."""
    interface = ipaddress.ip_interface(network.address)
    name = network.bridge.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        if not Path("/sys/class/net", network.bridge).exists():
            fcntl.ioctl(control, _SIOCBRADDBR, name + b"\0")
        fcntl.ioctl(control, _SIOCSIFHWADDR, struct.pack("16sH6s8x", name, _ARPHRD_ETHER, network.ethernet_address))
        fcntl.ioctl(control, _SIOCSIFADDR, _address_request(name, str(interface.ip)))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _address_request(name, str(interface.netmask)))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name, _IFF_UP))


def _remove_bridge(name: str) -> None:
    if not Path("/sys/class/net", name).exists():
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        fcntl.ioctl(control, _SIOCBRDELBR, name.encode() + b"\0")


def _address_request(name: bytes, address: str) -> bytes:
    """struct ifreq with a sockaddr_in."""
    return struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
