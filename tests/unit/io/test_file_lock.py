"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prebake.errors import Busy
from prebake.io.file_lock import hold_lock, lock_build_folder, try_lock
from tests.support.repository import ROOT


def test_a_second_process_waits_for_the_lock_and_says_so_once(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from prebake.io.file_lock import hold_lock, log_wait\n"
        "waiting = log_wait(lambda line: print(line, flush=True), 'the thing')\n"
        f"with hold_lock(Path({str(tmp_path / 'lock')!r}), lambda: (waiting(), waiting())):\n"
        f"    print(Path({str(tmp_path / 'done')!r}).exists(), flush=True)"
    )
    with hold_lock(tmp_path / "lock"):
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting for another process: the thing\n"
        (tmp_path / "done").touch()
    assert child.communicate(timeout=10)[0] == "True\n"


def test_a_shared_lock_has_several_holders_and_keeps_an_exclusive_one_out(tmp_path: Path) -> None:
    def give_up() -> None:
        raise TimeoutError

    path = tmp_path / "lock"
    with hold_lock(path, give_up, shared=True), hold_lock(path, give_up, shared=True), pytest.raises(TimeoutError):
        hold_lock(path, give_up).__enter__()
    with hold_lock(path, give_up):
        pass


def test_who_waits_for_a_file_that_is_removed_gets_the_lock_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as old:
        assert try_lock(old.fileno())

        def remove() -> None:
            path.unlink(missing_ok=True)
            old.close()

        with hold_lock(path, remove), path.open() as new:
            assert not try_lock(new.fileno())


def test_a_second_build_in_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    with lock_build_folder(tmp_path, "foley"), pytest.raises(Busy, match="foley"), lock_build_folder(tmp_path, "foley"):
        pass
