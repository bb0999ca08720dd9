"""Which tests share a worker of pytest-xdist, and what becomes of a run if a worker ends by a signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.conftest import pytest_addoption, pytest_collection_modifyitems, pytest_xdist_make_scheduler
"""
NOTE = """
import os, pathlib, time
def note():
    time.sleep(0.1)
    with open(f"{ROOT}/{pathlib.Path(__file__).stem}.workers", "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], file=file)
ROOT = os.getcwd()
"""
CRASH = "import os, signal\n{before}\ndef test_crash(): os.kill(os.getpid(), signal.SIGKILL)\n{after}\n"


def passing(name: str, count: int) -> str:
    return "\n".join(f"def test_{name}_{number}(): pass" for number in range(count))


@pytest.mark.parametrize(("workers", "before", "after"), [(1, 0, 0), (1, 3, 1), (2, 3, 3)])
def test_one_test_fails_and_the_others_run(tmp_path: Path, workers: int, before: int, after: int) -> None:
    (tmp_path / "test_a.py").write_text(passing("a", 1))
    (tmp_path / "test_b.py").write_text(CRASH.format(before=passing("before", before), after=passing("after", after)))
    (tmp_path / "test_c.py").write_text(passing("c", 1))
    ended = run(tmp_path, workers)
    assert f"1 failed, {2 + before + after} passed" in ended.stdout, ended.stdout + ended.stderr
    assert "crashed while running 'test_b.py::test_crash" in ended.stdout


def test_the_tests_of_a_file_share_a_worker_and_so_do_those_of_images(tmp_path: Path) -> None:
    images = tmp_path / "tests/e2e/images"
    (images / "one").mkdir(parents=True)
    for path in (tmp_path / "test_a.py", tmp_path / "test_b.py", images / "test_c.py", images / "one/test_d.py"):
        path.write_text(NOTE + passing("slow", 5).replace("pass", "note()"))
    ended = run(tmp_path, 3)
    assert "20 passed" in ended.stdout, ended.stdout + ended.stderr
    workers = {path.stem: set(path.read_text().split()) for path in tmp_path.glob("*.workers")}
    assert [len(each) for each in workers.values()] == [1] * 4, workers
    assert workers["test_c"] == workers["test_d"]
    assert len({worker for each in workers.values() for worker in each}) > 1


def test_the_tests_of_an_image_that_is_baked_share_a_worker(tmp_path: Path) -> None:
    for image in ("one", "two"):
        folder = tmp_path / "tests/integration/images" / image
        (folder / "nets").mkdir(parents=True)
        for path in (folder / f"test_{image}_a.py", folder / f"nets/test_{image}_b.py"):
            path.write_text(NOTE + passing("slow", 5).replace("pass", "note()"))
    ended = run(tmp_path, 2)
    assert "20 passed" in ended.stdout, ended.stdout + ended.stderr
    workers = {path.stem: set(path.read_text().split()) for path in tmp_path.glob("*.workers")}
    assert workers["test_one_a"] == workers["test_one_b"] != workers["test_two_a"] == workers["test_two_b"]


SAMPLED = """
import pytest
from tests.support.collection.sampled import sampled, slow
@pytest.mark.parametrize("case", sampled("abc", "b"))
def test_case(case): pass
@slow
def test_slow(): pass
"""


@pytest.mark.parametrize(
    ("words", "ran"), [([], 1), (["--slow"], 4), (["test_it.py::test_slow"], 1), (["test_it.py::test_case"], 3)]
)
def test_slow_tests_run_if_they_are_asked_for(tmp_path: Path, words: list[str], ran: int) -> None:
    (tmp_path / "test_it.py").write_text(SAMPLED)
    ended = run(tmp_path, 1, *words)
    assert f"{ran} passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 0


def run(folder: Path, workers: int, *words: str) -> subprocess.CompletedProcess[str]:
    """pytest in ``folder``, distributed as the tests of this project are."""
    (folder / "conftest.py").write_text(CONFTEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-c", "/dev/null"]
    options = ["--import-mode=importlib", "-n", str(workers), "--dist=loadfile", "--no-loadscope-reorder"]
    return subprocess.run(
        [*command, *options, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=200
    )
