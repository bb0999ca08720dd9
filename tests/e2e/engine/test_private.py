"""A second Engine beside whatever runs: brought up, used, taken away; without touching the first."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prebake.bootstrap import engine_network, private_engine
from prebake.bootstrap.engine_folder import EngineFolder, engine_answers
from prebake.docker.buildkit.buildx import BuildxRequest, build
from prebake.docker.connection import Connection, find_engine, storage_of
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import running
from prebake.docker.images.base_image import Base, ensure_debian_base
from prebake.docker.images.images import inspect_image
from prebake.errors import EngineUnavailable
from tests.e2e.engine.test_containers import SERVER, answer
from tests.support.repository import ROOT


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pb-", dir="/tmp"))  # short: a socket's path is bounded
    yield folder / "engine"
    if (folder / "engine").exists():
        private_engine.remove(folder / "engine")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bridges(engine: Connection) -> set[str]:
    """The bridges that other engines have."""
    return {name for name in interfaces() if Path("/sys/class/net", name, "bridge").exists()}


@pytest.fixture(scope="module")
def second(bridges: set[str], home: Path) -> EngineFolder:
    return private_engine.up(home)


def interfaces() -> set[str]:
    return {place.name for place in Path("/sys/class/net").iterdir()}


def connect(second: EngineFolder) -> Connection:
    return Connection(second.host, second.cli, second.config)


def pid_of(second: EngineFolder) -> int:
    return int(second.pidfile.read_text())


def test_it_answers_with_the_containerd_store_beside_the_first(engine: Connection, second: EngineFolder) -> None:
    connection = connect(second)
    with closing(connection.client()) as client:
        assert ["driver-type", "io.containerd.snapshotter.v1"] in client.info()["DriverStatus"]
    storage = storage_of(connection)
    assert storage.root == second.home / "data"
    assert (storage.free or 0) > 0
    assert storage.root != storage_of(engine).root


def test_up_again_and_two_at_once_use_the_same(second: EngineFolder) -> None:
    before = pid_of(second)
    code = "from pathlib import Path; from prebake.bootstrap import private_engine; "
    code += f"private_engine.up(Path({str(second.home)!r}))"
    children = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [child.wait(90) for child in children] == [0, 0]
    assert pid_of(second) == before


def test_it_builds_runs_publishes_and_reaches_out(second: EngineFolder, tmp_path: Path) -> None:
    connection = connect(second)
    base = ensure_debian_base(connection)
    (tmp_path / "Dockerfile").write_text(f"FROM {base.reference}\nRUN python3 -c 'import socket; socket.socket()'\n")
    build(connection, BuildxRequest(tmp_path, outputs=("type=docker,name=prebake-test:second",)))
    assert inspect_image(connection, base.reference).digest == base.digest
    with running(connection, ContainerSpec("prebake-test:second", command=SERVER, ports=[8000])) as container:
        host, port = container.address(8000)
        container.wait_until(lambda: answer(host, port), 20, "an answer")


def test_the_bridge_keeps_its_ethernet_address_as_containers_come_and_go(
    second: EngineFolder, base: Base, tmp_path: Path
) -> None:
    """Else a container would for a while send its answers to the address that the bridge had before."""
    connection = connect(second)
    (tmp_path / "Dockerfile").write_text(f"FROM {base.reference}\n")
    build(connection, BuildxRequest(tmp_path, outputs=("type=docker,name=prebake-test:second",)))
    network = engine_network.choose(second.home)
    address = Path("/sys/class/net", network.bridge, "address")
    for _ in range(6):  # each with an address of its own, which the bridge could take
        with running(connection, ContainerSpec("prebake-test:second", command=SERVER, ports=[8000])):
            assert bytes.fromhex(address.read_text().strip().replace(":", "")) == network.ethernet_address


def test_it_comes_back_after_a_kill_that_left_pid_and_socket(second: EngineFolder) -> None:
    os.kill(pid_of(second), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while engine_answers(second.host, seconds=1):
        assert time.monotonic() < deadline
    second.pidfile.write_text(str(os.getpid()))  # the number has another owner now
    private_engine.up(second.home)
    assert engine_answers(second.host)
    assert pid_of(second) != os.getpid()


def test_down_leaves_nothing_and_the_first_with_its_bridge(
    engine: Connection, base: Base, bridges: set[str], second: EngineFolder
) -> None:
    (ours,) = {name for name in interfaces() - bridges if name == engine_network.choose(second.home).bridge}
    assert private_engine.down(second.home)
    assert not private_engine.down(second.home)
    assert not engine_answers(second.host)
    assert ours not in interfaces()
    rules = subprocess.run(["/usr/sbin/iptables-save"], capture_output=True, text=True, check=True).stdout
    assert ours not in rules
    assert bridges <= interfaces()
    with running(engine, ContainerSpec(base.reference, command=SERVER, ports=[8000])) as container:
        host, port = container.address(8000)
        container.wait_until(lambda: answer(host, port), 20, "an answer")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="too long"):
        private_engine.up(tmp_path / ("x" * 100))


def test_a_dead_host_asked_for_by_name_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"/nowhere\.sock") as caught:
        find_engine({"DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock", "PATH": os.environ["PATH"]})
    assert caught.value.exit_code == 20
    assert "prebake engine up" in caught.value.next_action
