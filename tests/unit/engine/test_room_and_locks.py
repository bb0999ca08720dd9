from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest

from prebake.engine import network
from prebake.engine.disk import cache_folder, free_bytes, require_room, size_text
from prebake.engine.lock import locked
from prebake.errors import NoRoom

ROOT = Path(__file__).parents[3]


def test_too_little_room_is_told_in_figures(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "there", 1, what="nothing")
    with pytest.raises(NoRoom, match=r"an image needs 1\.0 PB|an image needs 1000\.0 TB"):
        require_room(tmp_path / "not" / "there", 10**15, what="an image")
    assert free_bytes(tmp_path / "not" / "there") > 0


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (7_200_000_000, "7.2 GB")])
def test_sizes_read_well(size: int, text: str) -> None:
    assert size_text(size) == text


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"PREBAKE_CACHE": str(tmp_path)}) == tmp_path
    assert cache_folder({}).name == "prebake"


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
