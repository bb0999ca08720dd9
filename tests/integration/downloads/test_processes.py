"""Downloads by processes that are killed, stopped, or two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prebake.checkpoints.download.download import download_key
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.source import as_remote
from prebake.checkpoints.store.store import Store
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.webserver import Fault, WebServer
from tests.support.downloads import check_held, file_of, leftovers
from tests.support.repository import ROOT
from tests.support.silent_progress import silent_progress

FETCH = """
import signal
import sys
from pathlib import Path
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.progress import LineProgress
from prebake.checkpoints.store.store import Store
from prebake.spec.lock import LockedFile
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
root, url, size, sha256 = sys.argv[1:]
file = LockedFile("a", "http:" + url, "", "", int(size), sha256, "", True)
fetch([file], Store(Path(root)), {"http": Http()}, LineProgress(sys.stderr))
"""


def start(store: Store, file: LockedFile) -> subprocess.Popen[str]:
    words = [str(store.root), as_remote(file).origin, str(file.size), file.sha256]
    root = str(ROOT)
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, *words], env=environment, cwd=root, stderr=subprocess.PIPE, text=True
    )


def wait_for_part(store: Store, file: LockedFile, child: subprocess.Popen[str], size: int) -> None:
    path = store.partial_path(download_key(as_remote(file)))
    deadline = time.monotonic() + 30
    while not (path.is_file() and path.stat().st_size == size):
        assert child.poll() is None, child.stderr and child.stderr.read()
        assert time.monotonic() < deadline, f"{path} did not come to {size} bytes"
        time.sleep(0.005)


def test_kill_in_the_middle_then_again(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(stall=1_500_000))
    child = start(store, file_of(web))
    wait_for_part(store, file_of(web), child, 1_500_000)
    child.kill()
    child.communicate()
    assert store.get(file_of(web).sha256) is None
    again = start(store, file_of(web))
    assert (again.communicate()[1].count("Traceback"), again.returncode) == (0, 0)
    assert web.requests("/a.safetensors")[-1].headers["range"] == "bytes=1500000-"
    check_held(store, file_of(web))


def test_ctrl_c_stops_at_once_and_keeps_the_first_part(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(stall=1_500_000))
    child = start(store, file_of(web))
    wait_for_part(store, file_of(web), child, 1_500_000)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=10)
    assert "prebake.errors.Interrupted: The download of the checkpoint was stopped" in said
    assert store.partial_path(file_of(web).sha256).stat().st_size == 1_500_000


def test_two_processes_fetch_the_same_file_once(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(stall=1_500_000))
    first = start(store, file_of(web))
    wait_for_part(store, file_of(web), first, 1_500_000)
    second = start(store, file_of(web))
    assert second.stderr is not None
    assert "another process is downloading it" in second.stderr.readline()
    web.release.set()  # the stalled connection ends; the first goes on and finishes
    for child in (first, second):
        child.communicate(timeout=30)
        assert child.returncode == 0
    assert [seen.sent for seen in web.requests("/a.safetensors")] == [1_500_000, 1_500_000]
    check_held(store, file_of(web))


def test_what_a_killed_copy_left_is_swept(store: Store, tmp_path: Path) -> None:
    left = store.root / "temp" / "123-abc"
    left.write_bytes(b"half")
    (store.root / "temp" / "folder").mkdir()
    fetch([], store, {}, silent_progress())
    assert leftovers(store) == []
