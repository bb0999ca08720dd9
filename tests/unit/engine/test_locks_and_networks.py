from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path

from prebake.engine import network
from prebake.engine.lock import locked

ROOT = Path(__file__).parents[3]


def test_a_second_process_waits_for_the_lock_and_says_so(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from prebake.engine.lock import locked\n"
        f"with locked(Path({str(tmp_path / 'lock')!r}), what='the thing', say=lambda line: print(line, flush=True)):\n"
        f"    print(Path({str(tmp_path / 'done')!r}).exists(), flush=True)"
    )
    with locked(tmp_path / "lock", what="the thing"):
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting for another process: the thing\n"
        (tmp_path / "done").touch()
    assert child.communicate(timeout=10)[0] == "True\n"


def test_a_private_network_touches_no_route_and_fits_an_interface_name(tmp_path: Path) -> None:
    chosen = network.choose(tmp_path)
    own = ipaddress.ip_network(chosen.addresses)
    assert not any(own.overlaps(route) for name, route in network._routes() if name != chosen.bridge)
    assert len(chosen.bridge) <= 15
    assert ipaddress.ip_interface(chosen.address).ip in own
    assert network.choose(tmp_path / "other").bridge != chosen.bridge
