"""Downloads where everything goes wrong that goes wrong: cut, stalled, refused, changed, killed, full."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.checkpoints.delivery import delivery_key
from prebake.checkpoints.fetch import fetch, lay_out
from prebake.checkpoints.http import Http
from prebake.checkpoints.patience import Patience
from prebake.checkpoints.progress import Silent
from prebake.checkpoints.source import as_remote
from prebake.checkpoints.store import Store
from prebake.errors import ChecksumMismatch, NoNetwork, NoRoom, SourceError
from prebake.plan.values import content_time
from prebake.spec.lock import LockedFile
from tests.unit.checkpoints.parts import HASTY, Diary, locked, some_bytes
from tests.unit.checkpoints.webserver import Fault, WebServer, serve

DATA = some_bytes(3_000_000)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serve() as server:
        server.files["/a.safetensors"] = DATA
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def file_of(web: WebServer, path: str = "a.safetensors", data: bytes = DATA) -> LockedFile:
    return locked(path, f"http:{web.url}/{path}", data)


def bring(files: list[LockedFile], store: Store, patience: Patience = HASTY) -> Diary:
    diary = Diary()
    fetch(files, store, {"http": Http(patience)}, diary)
    return diary


def leftovers(store: Store) -> list[str]:
    return sorted(path.name for folder in ("partial", "temp") for path in (store.root / folder).iterdir())


def check_held(store: Store, file: LockedFile, data: bytes = DATA) -> None:
    path = store.get(file.sha256, file.size)
    assert path is not None
    assert path.read_bytes() == data
    assert leftovers(store) == []


def test_a_cut_download_goes_on_where_it_stopped(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(cut=1_000_000), Fault(cut=500_000))
    bring([file_of(web)], store)
    first, second, third = web.requests("/a.safetensors")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=1000000-"
    assert third.headers["range"] == "bytes=1500000-"
    assert [first.sent, second.sent, third.sent] == [1_000_000, 500_000, 1_500_000]
    check_held(store, file_of(web))


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(web: WebServer, store: Store) -> None:
    gone = Fault(status=503)
    web.fail("/a.safetensors", Fault(cut=2_000_000), gone, gone, gone)
    with pytest.raises(SourceError, match="503"):
        bring([file_of(web)], store)
    assert leftovers(store) == sorted([file_of(web).sha256, f"{file_of(web).sha256}.tag"])
    bring([file_of(web)], store)
    last = web.requests("/a.safetensors")[-1]
    assert last.headers["range"] == "bytes=2000000-"
    assert last.sent == 1_000_000
    check_held(store, file_of(web))


def test_attempts_count_only_while_nothing_arrives(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", *[Fault(cut=300_000)] * 8)
    bring([file_of(web)], store)
    assert len(web.requests("/a.safetensors")) == 9
    check_held(store, file_of(web))


def test_a_server_that_ignores_ranges_sends_it_all_again(web: WebServer, store: Store) -> None:
    web.ranges = False
    web.fail("/a.safetensors", Fault(cut=1_000_000))
    bring([file_of(web)], store)
    assert web.requests("/a.safetensors")[-1].sent == len(DATA)
    check_held(store, file_of(web))


def test_a_file_that_changed_under_its_etag_is_taken_from_the_start(web: WebServer, store: Store) -> None:
    old, gone = some_bytes(len(DATA), seed=9), Fault(status=503)
    web.files["/a.safetensors"] = old
    web.fail("/a.safetensors", Fault(cut=1_000_000), gone, gone, gone)
    with pytest.raises(SourceError):
        bring([file_of(web)], store)
    web.files["/a.safetensors"] = DATA
    bring([file_of(web)], store)
    assert web.requests("/a.safetensors")[-1].sent == len(DATA)
    check_held(store, file_of(web))


def test_a_spoilt_first_part_is_thrown_away_and_fetched_once_more(web: WebServer, store: Store) -> None:
    web.etags = False
    store.partial_path(file_of(web).sha256).write_bytes(b"\0" * 1_000_000)
    diary = bring([file_of(web)], store)
    assert [seen.sent for seen in web.requests("/a.safetensors")] == [2_000_000, 3_000_000]
    assert any("another checksum" in text for _, text in diary.notes)
    check_held(store, file_of(web))


def test_a_complete_part_left_by_a_kill_needs_no_request(web: WebServer, store: Store) -> None:
    store.partial_path(file_of(web).sha256).write_bytes(DATA)
    bring([file_of(web)], store)
    assert web.seen == []
    check_held(store, file_of(web))


def test_wrong_bytes_are_named_and_not_kept(web: WebServer, store: Store) -> None:
    web.files["/a.safetensors"] = some_bytes(len(DATA), seed=1)
    with pytest.raises(ChecksumMismatch) as caught:
        bring([file_of(web)], store)
    message = str(caught.value)
    assert "a.safetensors" in message
    assert file_of(web).sha256 in message
    assert locked("x", "x", web.files["/a.safetensors"]).sha256 in message
    assert leftovers(store) == []
    assert list((store.root / "sha256").glob("*/*")) == []
    assert len(web.seen) == 1


@pytest.mark.parametrize("size", [len(DATA) - 7, len(DATA) + 7])
def test_another_size_ends_it_before_the_bytes_come(web: WebServer, store: Store, size: int) -> None:
    web.files["/a.safetensors"] = some_bytes(size)
    with pytest.raises(ChecksumMismatch, match=rf"expected 3000000 bytes\n  found    {size} bytes"):
        bring([file_of(web)], store)
    assert leftovers(store) == []


def test_a_login_page_in_between_does_not_cost_the_first_part(web: WebServer, store: Store) -> None:
    gone = Fault(status=503)
    web.fail("/a.safetensors", Fault(cut=2_000_000), gone, gone, gone)
    with pytest.raises(SourceError):
        bring([file_of(web)], store)
    web.files["/a.safetensors"] = b"<html>please log in</html>"
    with pytest.raises(ChecksumMismatch):
        bring([file_of(web)], store)
    web.files["/a.safetensors"] = DATA
    bring([file_of(web)], store)
    assert web.requests("/a.safetensors")[-1].sent == 1_000_000
    check_held(store, file_of(web))


@pytest.mark.parametrize(
    ("status", "says"), [(404, "does not exist"), (401, "refuses access"), (403, "refuses access")]
)
def test_refusals_are_not_repeated(web: WebServer, store: Store, status: int, says: str) -> None:
    web.fail("/a.safetensors", Fault(status=status))
    with pytest.raises(SourceError, match=says) as caught:
        bring([file_of(web)], store)
    assert len(web.seen) == 1
    assert ("netrc" in caught.value.next_action) is (status != 404)


def test_a_server_error_is_tried_again(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(status=500), Fault(status=502))
    diary = bring([file_of(web)], store)
    assert [text.split(";")[0] for _, text in diary.notes] == [
        "the server answers 500 Internal Server Error",
        "the server answers 502 Bad Gateway",
    ]
    check_held(store, file_of(web))


def test_a_server_that_stays_broken_is_given_up(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", *[Fault(status=500)] * 9)
    with pytest.raises(SourceError, match="3 times in a row"):
        bring([file_of(web)], store)
    assert len(web.seen) == 3


def test_retry_after_is_waited_for(web: WebServer, store: Store) -> None:
    pauses: list[float] = []
    web.fail("/a.safetensors", Fault(status=429, headers={"Retry-After": "2"}))
    bring([file_of(web)], store, Patience(attempts=3, retry_after=2.0, pause=pauses.append))
    assert pauses == [2.0]
    check_held(store, file_of(web))


def test_too_long_a_wait_is_told_instead_of_waited(web: WebServer, store: Store) -> None:
    pauses: list[float] = []
    web.fail("/a.safetensors", Fault(status=503, headers={"Retry-After": "3600"}))
    with pytest.raises(SourceError, match="asks to wait 3600 s"):
        bring([file_of(web)], store, Patience(attempts=3, retry_after=2.0, pause=pauses.append))
    assert pauses == []


def test_a_stalled_connection_times_out_and_goes_on(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(stall=1_000_000))
    diary = bring([file_of(web)], store)
    assert "sends nothing any more" in diary.notes[0][1]
    assert web.requests("/a.safetensors")[-1].headers["range"] == "bytes=1000000-"
    check_held(store, file_of(web))


def test_a_redirect_is_followed(web: WebServer, store: Store) -> None:
    web.redirects["/moved"] = f"{web.url}/a.safetensors"
    bring([locked("a", f"http:{web.url}/moved", DATA)], store)
    check_held(store, file_of(web))


def test_no_network_says_so_and_what_to_do(store: Store) -> None:
    with socket.socket() as taken:  # bound and not listening: nothing answers there
        taken.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}/a?signature=secret"
        with pytest.raises(NoNetwork, match="cannot be reached") as caught:
            bring([locked("a", f"http:{url}", DATA)], store)
    assert "SSL_CERT_FILE" in caught.value.next_action
    assert "secret" not in str(caught.value)


def test_one_failure_stops_the_others_and_keeps_what_they_have(web: WebServer, store: Store) -> None:
    web.files["/b"] = some_bytes(2_000_000, seed=2)
    web.fail("/b", *[Fault(stall=500_000)] * 3)
    web.fail("/a.safetensors", Fault(status=404))
    other = file_of(web, "b", web.files["/b"])
    with pytest.raises(SourceError, match="does not exist"):
        bring([file_of(web), other], store)
    assert len(web.requests("/b")) <= 1
    bring([other], store)
    check_held(store, other, web.files["/b"])


def test_many_files_come_at_the_same_time(web: WebServer, store: Store) -> None:
    files = []
    for index in range(12):
        web.files[f"/{index}"] = some_bytes(50_000, seed=index)
        files.append(file_of(web, str(index), web.files[f"/{index}"]))
    diary = bring([*files, *files], store)
    assert len(web.seen) == 12
    assert diary.closed
    assert {name: done for name, done, _ in diary.reports} == {file.path: 50_000 for file in files}
    bring(files, store)
    assert len(web.seen) == 12


def test_no_room_is_found_before_the_first_byte(web: WebServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", free=lambda folder: 2_999_999)
    with pytest.raises(NoRoom, match=r"3000000 bytes.* are needed.*2999999 bytes.* are free"):
        bring([file_of(web)], store)
    assert web.seen == []


def test_bytes_that_are_there_need_no_more_room(web: WebServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", free=lambda folder: 1_000_000)
    store.partial_path(file_of(web).sha256).write_bytes(DATA[:2_000_000])
    bring([file_of(web)], store)
    check_held(store, file_of(web))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB: a tmpfs in this process's own right (needs root)."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(web: WebServer, small_disk: Path) -> None:
    with pytest.raises(NoRoom, match=r"2\.9 MiB .* are needed"):
        bring([file_of(web)], Store(small_disk))
    assert web.seen == []


def test_a_disk_that_fills_up_on_the_way(web: WebServer, small_disk: Path) -> None:
    store = Store(small_disk, free=lambda folder: 1 << 40)  # somebody else took the room after it was checked
    with pytest.raises(NoRoom, match="became full while writing"):
        bring([file_of(web)], store)
    assert store.partial_path(file_of(web).sha256).stat().st_size > 1_000_000


def test_a_folder_on_another_disk_gets_copies(web: WebServer, store: Store, small_disk: Path) -> None:
    web.files["/b"] = some_bytes(500_000, seed=3)
    file = file_of(web, "b", web.files["/b"])
    bring([file], store)
    lay_out([file], store, small_disk / "checkpoint")
    copy = small_disk / "checkpoint" / "b"
    assert copy.read_bytes() == web.files["/b"]
    assert copy.stat().st_dev != store.root.stat().st_dev
    assert (copy.stat().st_mode & 0o777, copy.stat().st_mtime) == (0o444, content_time(file.sha256))


FETCH = """
import signal
import sys
from pathlib import Path
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.http import Http
from prebake.checkpoints.progress import Lines
from prebake.checkpoints.store import Store
from prebake.spec.lock import LockedFile
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
root, url, size, sha256 = sys.argv[1:]
file = LockedFile("a", "http:" + url, "", "", int(size), sha256, "", True)
fetch([file], Store(Path(root)), {"http": Http()}, Lines(sys.stderr))
"""


def start(store: Store, file: LockedFile) -> subprocess.Popen[str]:
    words = [str(store.root), as_remote(file).origin, str(file.size), file.sha256]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, *words], env=environment, cwd=root, stderr=subprocess.PIPE, text=True
    )


def wait_for_part(store: Store, file: LockedFile, child: subprocess.Popen[str], size: int) -> None:
    path = store.partial_path(delivery_key(as_remote(file)))
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
    assert "prebake.errors.Interrupted: Stopped while fetching" in said
    assert store.partial_path(file_of(web).sha256).stat().st_size == 1_500_000


def test_two_processes_fetch_the_same_file_once(web: WebServer, store: Store) -> None:
    web.fail("/a.safetensors", Fault(stall=1_500_000))
    first = start(store, file_of(web))
    wait_for_part(store, file_of(web), first, 1_500_000)
    second = start(store, file_of(web))
    assert second.stderr is not None
    assert "another process is fetching it" in second.stderr.readline()
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
    fetch([], store, {}, Silent())
    assert leftovers(store) == []
