"""Programs in forks of one process behave as programs in processes of their own, and clones run their own code."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands.projects import clone
from tests.support.commands.warm_command import has_own_code, run_warm, warm_process
from tests.support.processes.forking_python import ForkingPython, Program
from tests.support.repository import ROOT

REPORT = """
import atexit, json, os, sys, tempfile
atexit.register(print, "at the end")
print(json.dumps([sys.argv, os.getcwd(), sys.path[0], dict(os.environ), tempfile.gettempdir(), __name__, sys.stdin.read()]))
print("told", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def forking() -> Iterator[ForkingPython]:
    process = ForkingPython(["json", "tempfile"], ROOT, os.environ)
    yield process
    process.close()


def test_a_program_has_its_own_words_folder_environment_and_end(forking: ForkingPython, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text(REPORT)
    environment = {"TMPDIR": str(tmp_path), "ONE": "1"}
    for code in (0, 7):
        ended = forking.run(Program(["report.py", str(code)], str(tmp_path), environment))
        words, folder, path, found, temporary, name, stdin = json.loads(ended[1].splitlines()[0])
        assert (words, folder, path) == (["report.py", str(code)], str(tmp_path), str(tmp_path))
        assert (found, temporary, name, stdin) == (environment, str(tmp_path), "__main__", "")
        assert (ended[0], ended[1].splitlines()[1:], ended[2]) == (code, ["at the end"], "told\n")


def test_an_error_a_signal_and_too_long_a_time_are_ends(forking: ForkingPython, tmp_path: Path) -> None:
    ends = {
        "raise ValueError('odd')": 1,
        "import os; os.kill(os.getpid(), 9)": -signal.SIGKILL,
        "while True: pass": -signal.SIGALRM,
    }
    for program, code in ends.items():
        (tmp_path / "program.py").write_text(program)
        ended = forking.run(Program(["program.py"], str(tmp_path), seconds=1 if code == -signal.SIGALRM else 60))
        assert ended[0] == code
        assert ("ValueError: odd" in ended[2]) == (code == 1)


def test_a_process_that_ended_fails_one_program_and_no_later_one(forking: ForkingPython, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os; os.kill(os.getppid(), 9)")
    with pytest.raises(AssertionError, match="the process that forks ended"):
        forking.run(Program(["ends.py"], str(tmp_path)))
    (tmp_path / "program.py").write_text("print(1)")
    assert forking.run(Program(["program.py"], str(tmp_path)))[:2] == (0, "1\n")


def test_a_clone_with_other_code_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    assert has_own_code(project.root)
    assert run_warm(project.root, ["--version"], project.environment()) is not None
    assert run_warm(project.root, ["--version"], project.environment(PYTHONUTF8="1")) is None
    code = project.root / "prebake/__init__.py"
    code.write_text(code.read_text().replace("__version__ = ", "__version__ = 'other' or "))
    assert run_warm(project.root, ["--version"], project.environment()) is None
    assert "other" in project.run("--version").expect(0).stdout


def test_the_command_imports_nothing_that_a_fork_must_import_for_itself(tmp_path: Path) -> None:
    """huggingface_hub reads the environment when it is imported; numpy and what is built on it start threads."""
    (tmp_path / "report.py").write_text(
        "import os, sys; print(len(os.listdir(f'/proc/{os.getppid()}/task')), *sys.modules)"
    )
    threads, *imported = warm_process().run(Program(["report.py"], str(tmp_path)))[1].split()
    assert threads == "1"
    assert "prebake.workflow.build" in imported
    assert not {"huggingface_hub.constants", "numpy", "onnx", "onnxruntime", "torch"}.intersection(imported)
