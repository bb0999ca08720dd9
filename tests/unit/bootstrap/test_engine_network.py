"""The private Engine's network: an address range and a bridge that nothing else on this machine has."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from prebake.bootstrap import engine_network


def test_a_private_network_touches_no_route_and_fits_an_interface_name(tmp_path: Path) -> None:
    chosen = engine_network.choose(tmp_path)
    own = ipaddress.ip_network(chosen.addresses)
    assert not any(own.overlaps(route) for name, route in engine_network._routes() if name != chosen.bridge)
    assert len(chosen.bridge) <= 15
    assert ipaddress.ip_interface(chosen.address).ip in own
    assert engine_network.choose(tmp_path / "other").bridge != chosen.bridge
