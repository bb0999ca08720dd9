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
from pathlib import Path

import pytest

from prebake.engine import network, private
from prebake.engine.base import Base, bootstrapped
from prebake.engine.build import BuildRequest, build
from prebake.engine.connection import Connection, describe, find_engine
from prebake.engine.container_spec import ContainerSpec
from prebake.engine.containers import running
from prebake.engine.images import inspect_image
from prebake.engine.private import PrivateEngine
from prebake.errors import EngineUnavailable
from tests.engine.test_containers import SERVER, answer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pb-", dir="/tmp"))  # short: a socket's path is bounded
    yield folder / "engine"
    if (folder / "engine").exists():
        private.remove(folder / "engine")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bridges(engine: Connection) -> set[str]:
    """The bridges that other engines have."""
    return {name for name in interfaces() if Path("/sys/class/net", name, "bridge").exists()}


@pytest.fixture(scope="module")
def second(bridges: set[str], home: Path) -> PrivateEngine:
    return private.up(home)


def interfaces() -> set[str]:
    return {place.name for place in Path("/sys/class/net").iterdir()}


def connect(second: PrivateEngine) -> Connection:
    return Connection(second.host, second.cli, second.config)


def pid_of(second: PrivateEngine) -> int:
    return int(second.pidfile.read_text())


def test_it_answers_with_the_containerd_store_beside_the_first(engine: Connection, second: PrivateEngine) -> None:
    facts = describe(connect(second))
    assert facts.containerd_store
    assert facts.root == second.home / "data"
    assert (facts.free or 0) > 0
    assert facts.root != describe(engine).root


def test_up_again_and_two_at_once_use_the_same(second: PrivateEngine) -> None:
    before = pid_of(second)
    code = f"from pathlib import Path; from prebake.engine import private; private.up(Path({str(second.home)!r}))"
    children = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [child.wait(90) for child in children] == [0, 0]
    assert pid_of(second) == before


def test_it_builds_runs_publishes_and_reaches_out(second: PrivateEngine, tmp_path: Path) -> None:
    connection = connect(second)
    base = bootstrapped(connection)
    (tmp_path / "Dockerfile").write_text(f"FROM {base.reference}\nRUN python3 -c 'import socket; socket.socket()'\n")
    build(connection, BuildRequest(tmp_path, tag="prebake-test:second"))
    assert inspect_image(connection, base.reference).digest == base.digest
    with running(connection, ContainerSpec("prebake-test:second", command=SERVER, ports=[8000])) as container:
        host, port = container.address(8000)
        container.wait_until(lambda: answer(host, port), 20, "an answer")


def test_it_comes_back_after_a_kill_that_left_pid_and_socket(second: PrivateEngine) -> None:
    os.kill(pid_of(second), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while private.answers(second.host, seconds=1):
        assert time.monotonic() < deadline
    second.pidfile.write_text(str(os.getpid()))  # the number has another owner now
    private.up(second.home)
    assert private.answers(second.host)
    assert pid_of(second) != os.getpid()


def test_down_leaves_nothing_and_the_first_with_its_bridge(
    engine: Connection, base: Base, bridges: set[str], second: PrivateEngine
) -> None:
    (ours,) = {name for name in interfaces() - bridges if name == network.choose(second.home).bridge}
    assert private.down(second.home)
    assert not private.down(second.home)
    assert not private.answers(second.host)
    assert ours not in interfaces()
    rules = subprocess.run(["/usr/sbin/iptables-save"], capture_output=True, text=True, check=True).stdout
    assert ours not in rules
    assert bridges <= interfaces()
    with running(engine, ContainerSpec(base.reference, command=SERVER, ports=[8000])) as container:
        host, port = container.address(8000)
        container.wait_until(lambda: answer(host, port), 20, "an answer")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="too long"):
        private.up(tmp_path / ("x" * 100))


def test_a_dead_host_asked_for_by_name_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"/nowhere\.sock") as caught:
        find_engine({"DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock", "PATH": os.environ["PATH"]})
    assert caught.value.exit_code == 20
    assert "prebake engine up" in caught.value.next_action
