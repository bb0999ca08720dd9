from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from docker.errors import NotFound

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import Bind, ContainerSpec
from prebake.docker.containers.containers import RunningContainer, remove_strays, run_to_end, running
from prebake.docker.containers.owners import owner_label
from prebake.docker.images.base_image import Base
from prebake.errors import EngineError, StartFailed

SERVER = ("python3", "-m", "http.server", "--directory", "/etc", "8000")
PROBE = """
import os
print(os.getuid(), os.getgid())
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["CapBnd"], 16), status["NoNewPrivs"].strip())
for place in ("/file", "/tmp/file"):
    try:
        open(place, "w")
        print(place, "written")
    except OSError as error:
        print(place, error.strerror)
"""


def python(base: Base, code: str) -> ContainerSpec:
    return ContainerSpec(base.reference, command=["python3", "-c", code])


def test_a_container_is_hardened(engine: Connection, base: Base) -> None:
    end, log = run_to_end(engine, python(base, PROBE), seconds=30)
    assert end.exit_code == 0
    assert log.splitlines() == ["65532 65532", "0 1", "/file Read-only file system", "/tmp/file written"]


def test_a_port_is_published_on_loopback_and_the_container_goes_away(engine: Connection, base: Base) -> None:
    with running(engine, ContainerSpec(base.reference, command=SERVER, ports=[8000])) as container:
        host, port = container.address(8000)
        assert host == "127.0.0.1"
        container.wait_until(lambda: answer(host, port), 20, "an answer")
        assert container.ended() is None
        code, output = container.run(["cat", "/etc/debian_version"])
        assert (code, output[:2]) == (0, "12")
        container.kill("SIGINT")
        assert container.wait(10).exit_code in (0, 130)
    with pytest.raises(NotFound):
        container.ended()


def answer(host: str, port: int) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/debian_version", timeout=2) as response:
            return bytes(response.read())
    except OSError:
        return None


def test_a_container_that_ends_too_early_says_so_with_its_log(engine: Connection, base: Base) -> None:
    early = r"ended with code 3 before an answer(?s:.*)a clue"
    spec = python(base, "print('a clue'); raise SystemExit(3)")
    with running(engine, spec) as container, pytest.raises(StartFailed, match=early):
        container.wait_until(lambda: None, 20, "an answer")


def test_a_deadline_holds(engine: Connection, base: Base) -> None:
    with running(engine, python(base, "import time; time.sleep(60)")) as container:
        with pytest.raises(StartFailed, match=r"did not end within 0\.2 s"):
            container.wait(0.2)
        with pytest.raises(StartFailed, match=r"no answer within 0\.2 s"):
            container.wait_until(lambda: None, 0.2, "answer")
        assert container.stop(1).exit_code == 137


def test_memory_is_bounded(engine: Connection, base: Base) -> None:
    spec = ContainerSpec(base.reference, command=["python3", "-c", "bytearray(10**9)"], memory=64 << 20)
    assert run_to_end(engine, spec, seconds=30)[0].exit_code in (1, 137)


def test_a_folder_of_the_machine_is_seen_read_only(engine: Connection, base: Base, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    code = "print(open('/here/file').read(), flush=True); open('/here/other', 'w')"
    spec = ContainerSpec(base.reference, command=["python3", "-c", code], binds=[Bind(tmp_path, "/here")], user="0:0")
    end, log = run_to_end(engine, spec, seconds=30)
    assert end.exit_code == 1
    assert "content" in log.splitlines()  # what was printed and what went to the error stream come in either order
    assert "Read-only file system" in log


def test_strays_of_a_dead_process_are_removed_and_others_stay(engine: Connection, base: Base) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = ContainerSpec(base.reference, command=["sleep", "60"], owner=owner_label(gone.pid))
    elsewhere = ContainerSpec(base.reference, command=["sleep", "60"], owner=f"another-machine {gone.pid}")
    with (
        running(engine, dead) as stray,
        running(engine, elsewhere) as others,
        running(engine, ContainerSpec(base.reference, command=["sleep", "60"])) as kept,
    ):
        assert remove_strays(engine) >= 1
        assert not exists(stray)
        assert exists(others)
        assert exists(kept)


def exists(container: RunningContainer) -> bool:
    try:
        return container.ended() is None
    except NotFound:
        return False


def test_an_image_that_is_missing_is_named(engine: Connection) -> None:
    with pytest.raises(EngineError, match="has no image prebake/none:none"):
        run_to_end(engine, ContainerSpec("prebake/none:none"), seconds=5)
