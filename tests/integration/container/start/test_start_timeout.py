"""A start that does not end: the server process ends it, whatever the model process is stuck in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from entrypoints.errors import DamagedFile, SessionFault
from entrypoints.files.verification import Verification, find_root_cause
from entrypoints.manifest.reader import read_manifest
from tests.support.container.running import Start
from tests.support.repository import ROOT

STUCK = {
    "python": "import time; time.sleep(600)",
    "a lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "native code with the interpreter's lock": "import ctypes; ctypes.PyDLL(None).sleep(600)",
    "a stopped process": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "a loop that ignores signals": "import signal\nwhile True: pass",
}


@pytest.mark.parametrize("code", STUCK.values(), ids=STUCK)
def test_a_start_that_does_not_end_fails(start: Start, code: str) -> None:
    server = start(TINY_CODE=code, PREBAKE_START_TIMEOUT="2").wait_for("starting")
    model = server.find_model_process()
    server.wait_for("failed")
    reason = server.get("/health").json()["reason"]
    assert "start took too long: 2 s are over; still running: " in reason
    assert "create (for " in reason
    assert server.get("/v2/health/live").status_code == 503
    assert server.wait() == 86
    assert not Path(f"/proc/{model}/exe").exists()
    (fault,) = server.find_events("fault")
    assert (fault["exit_code"], fault["details"]["seconds"]) == (86, 2)
    assert "create" in fault["details"]["running"]
    if "SIGSTOP" not in code:
        texts = [event["text"] for event in server.find_events("output")]
        assert any("in create" in text for text in texts), "the stacks"


def test_a_start_in_time_is_left_alone(start: Start) -> None:
    server = start(PREBAKE_START_TIMEOUT="5").wait_for("ready")
    time.sleep(max(0.0, 6 - server.get("/startup").json()["ready_seconds"]))
    assert server.status() == "ready"


def test_a_server_that_stops_during_a_long_start_is_not_failed(start: Start) -> None:
    server = start(TINY_CODE=STUCK["python"], PREBAKE_START_TIMEOUT="2").wait_for("starting")
    server.terminate()
    assert server.wait() == 0
    assert not server.find_events("fault")


def test_the_search_for_a_damaged_file_ends(
    models: Path, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not answer; here a pipe that nobody writes to."""
    monkeypatch.setattr("entrypoints.files.verification.LONGEST_SEARCH_SECONDS", 0.3)
    verification = Verification(models, read_manifest(models))
    (models / "linear/model.bin").unlink()
    os.mkfifo(models / "linear/model.bin")
    verification.add_threads(1)
    fault = SessionFault("cannot be opened")
    assert find_root_cause(fault, verification) is fault


def test_a_damaged_file_is_found_behind_a_fault_in_that_time(models: Path, manifest: dict[str, Any]) -> None:
    (models / "linear/bias.txt").write_bytes(b"1.5")
    verification = Verification(models, read_manifest(models))
    verification.add_threads(1)
    assert isinstance(find_root_cause(SessionFault("cannot be opened"), verification), DamagedFile)


WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
from entrypoints.files.verification import Verification
from entrypoints.manifest.reader import read_manifest
models = Path(sys.argv[1])
verification = Verification(models, read_manifest(models))
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 2**20, pages + 2**20))
verification.add_threads(2)
try:
    verification.wait_for_required()
except (OSError, MemoryError) as error:
    print(type(error).__name__)
"""


def test_waiting_for_digests_ends_without_memory(models: Path, manifest: dict[str, Any]) -> None:
    command = [sys.executable, "-c", WITHOUT_MEMORY, str(models)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() in ("OSError", "MemoryError")
