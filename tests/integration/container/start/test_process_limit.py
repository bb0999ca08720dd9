"""A limit of processes and threads, whoever reaches it: the container serves, or it ends in seconds with a code of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrypoints.errors import ModelFault, ProcessLimit, SessionFault
from entrypoints.processes.process_limit import explain_end, find_process_limit, read_groups, says_refused
from tests.support.collection.sampled import sampled
from tests.support.container.running import Server, Start, wait_until
from tests.support.processes.confined import limited_processes
from tests.support.repository import ROOT

PATIENCE = 90.0
THREADS = {"PREBAKE_THREADS": "6", "PREBAKE_FAILURE_EXIT_DELAY": "0.2"}
"""As on a machine of more processors: ONNX Runtime starts five threads for each of the two sessions."""


def settle(server: Server) -> int | None:
    """The exit code, or None if the model is served."""

    def settled() -> bool:
        return server.process.poll() is not None or server.status() == "ready"

    wait_until(settled, f"ready or an end, log: {server.stderr}", PATIENCE)
    return server.process.poll()


@pytest.mark.parametrize("maximum", sampled(range(1, 41), 1, 2, 4, 6, 9, 14, 40))
def test_a_start_serves_or_ends_with_the_limit(start: Start, maximum: int) -> None:
    with limited_processes(maximum) as launcher:
        server = start(launcher, **THREADS)
        code = settle(server)
        events = server.events
        server.process.kill()
        server.process.wait()
    if maximum <= 4:
        assert code == 83
    if maximum == 40:
        assert code is None
    if code is None:
        return
    assert code == 83, events
    faults = [event for event in events if event["event"] == "fault"]
    assert f"of {maximum} processes and threads run" in faults[0]["reason"]
    assert "(pids.max)" in faults[0]["reason"]
    assert (faults[0]["details"]["maximum"], faults[0]["exit_code"]) == (maximum, 83)
    assert faults[0]["details"]["refused"] > 0
    assert "--pids-limit" in faults[0]["action"]


BLAS = """
import ctypes, os, time
os.write(2, b"OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 2: Resource temporarily unavailable\\n")
time.sleep(600)
"""


def test_a_library_that_goes_on_without_its_threads_is_not_waited_for(start: Start) -> None:
    """OpenBLAS prints this, and its first product never ends."""
    server = start(TINY_CODE=BLAS, PREBAKE_FAILURE_EXIT_DELAY="0")
    assert server.process.wait(PATIENCE) == 83
    assert "pthread_create failed for thread 1 of 2" in server.find_events("fault")[0]["reason"]


def test_a_model_may_print_such_a_line_once_it_serves(start: Start) -> None:
    """It may be what a client has sent."""
    code = "import threading, os; threading.Timer(1.0, os.write, (2, b'pthread_create failed\\n')).start()"
    server = start(TINY_CODE=code).wait_for("ready")
    server.wait_for_event("output")
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess; [subprocess.Popen(['sleep', '600']) for _ in range(99)]",
        "import os, time\nfor _ in range(99): os.fork() or time.sleep(600)",
        "import threading, time\nfor _ in range(99): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "import concurrent.futures as c, time\np = c.ThreadPoolExecutor(99)\nfor _ in range(99): p.submit(time.sleep, 600)",
    ],
    ids=["subprocess", "fork", "thread", "pool"],
)
def test_a_model_that_starts_too_many_is_told_the_limit(start: Start, code: str) -> None:
    with limited_processes(30) as launcher:
        server = start(launcher, TINY_CODE=code, PREBAKE_FAILURE_EXIT_DELAY="0")
        ended = server.process.wait(PATIENCE)
        subprocess.run(["sh", "-c", 'kill -9 $(cat "$0/cgroup.procs")', launcher[-1]], check=False, capture_output=True)
    assert ended == 83, server.stderr


def test_a_library_that_ends_the_process_is_told_the_limit(start: Start) -> None:
    """As OpenMP does; the process says nothing itself."""
    code = """
import os, threading, time
try:
    for _ in range(99): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
except RuntimeError:
    os._exit(1)
"""
    with limited_processes(30) as launcher:
        server = start(launcher, TINY_CODE=code, PREBAKE_FAILURE_EXIT_DELAY="0")
        assert server.process.wait(PATIENCE) == 83, server.stderr
    assert "ended with code 1" in server.find_events("fault")[0]["reason"]


HASHING = """
import sys
from pathlib import Path
from entrypoints.errors import DamagedFile
from entrypoints.files.verification import Verification
from entrypoints.manifest.reader import read_manifest
models = Path(sys.argv[1])
verification = Verification(models, read_manifest(models))
verification.add_threads(2)
try:
    verification.wait_for_required()
except DamagedFile as fault:
    print(fault)
else:
    print("verified")
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_files_are_verified_without_threads(models: Path, manifest: dict[str, Any], damaged: bool) -> None:
    if damaged:
        content = bytearray((models / "linear/model.bin").read_bytes())
        content[70] ^= 1
        (models / "linear/model.bin").write_bytes(content)
    with limited_processes(1) as launcher:
        command = [*launcher, sys.executable, "-c", HASHING, str(models)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert ("linear/model.bin: corrupt" in ended.stdout) if damaged else (ended.stdout == "verified\n")


def chain() -> Iterator[BaseException]:
    refused = RuntimeError("can't start new thread")
    yield refused
    yield SessionFault("linear: cpu: pthread_create failed, error code: 11")
    error = ImportError("numpy failed")
    error.__cause__ = refused
    yield error
    yield BlockingIOError(11, "fork: Resource temporarily unavailable")


@pytest.mark.parametrize("error", list(chain()), ids=lambda error: type(error).__name__)
def test_a_refused_thread_is_found_behind_other_errors(error: BaseException) -> None:
    assert isinstance(find_process_limit(error), ProcessLimit)


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), KeyError("thread"), ModelFault("the model process was ended by SIGSEGV")]
)
def test_other_errors_are_no_limit(error: BaseException) -> None:
    assert find_process_limit(error) is None


def test_a_crash_while_it_serves_is_not_the_limit_s() -> None:
    fault = ModelFault("the model process was ended by SIGSEGV")
    assert explain_end(fault, starting=False) is fault


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("libgomp: Thread creation failed: Resource temporarily unavailable", True),
        ("terminate called after throwing std::system_error, what(): thread: Resource temporarily unavailable", True),
        ("sh: 1: Cannot fork: Resource temporarily unavailable", True),
        ("recv: Resource temporarily unavailable", False),
        ("threads: 4", False),
    ],
)
def test_what_libraries_print(text: str, refused: bool) -> None:
    assert says_refused(text) == refused


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_both_versions_of_control_groups_are_read(tmp_path: Path, version: int) -> None:
    membership = tmp_path / "membership"
    membership.write_text("8:pids:/pod/container\n" if version == 1 else "0::/pod/container\n")
    top = tmp_path / "cgroup" / ("pids" if version == 1 else "")
    group = top / "pod/container"
    group.mkdir(parents=True)
    for folder, maximum, current in ((group, "max", 3), (group.parent, "100", 90)):
        (folder / "pids.max").write_text(f"{maximum}\n")
        (folder / "pids.current").write_text(f"{current}\n")
        (folder / "pids.events").write_text("max 2\n")
    (limit,) = read_groups(tmp_path / "cgroup", membership)
    assert (limit.maximum, limit.current, limit.refused) == (100, 90, 2)
