from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from prebake.io.log import silent
from prebake.io.subprocesses import CommandFailed, redact, run, stream
from tests.support.repository import ROOT

# starts a grandchild that ignores SIGTERM, writes down both process numbers and sleeps
FAMILY = """
import os, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
child.stdout.readline()
open(sys.argv[1] + ".new", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(300)
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def family(record: Path) -> list[int]:
    return [int(word) for word in record.read_text().split()]


def test_both_outputs_and_the_code_come_back_and_the_command_is_told() -> None:
    said: list[str] = []
    finished = run(
        [sys.executable, "-c", "import sys; print(input()); sys.exit(3)"], input="a b", check=False, log=said.append
    )
    assert (finished.exit_code, finished.stdout) == (3, "a b\n")
    assert said[0].startswith("$ ")


def test_a_word_with_a_shells_signs_stays_one_word() -> None:
    word = "$(touch /nowhere); `x` * ' \""
    assert run([sys.executable, "-c", "import sys; print(sys.argv[1])", word]).stdout == word + "\n"


def test_another_code_than_0_is_an_error_with_the_last_lines() -> None:
    with pytest.raises(CommandFailed, match="ended with code 3\n  a clue") as caught:
        run([sys.executable, "-c", "import sys; print('a clue', file=sys.stderr); sys.exit(3)"])
    assert caught.value.finished.exit_code == 3


def test_a_program_that_is_missing_is_an_error() -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        run(["/no/such/program"])


def test_secrets_are_masked_in_what_is_told_streamed_and_raised() -> None:
    said: list[str] = []
    code = (
        "import sys; print('it is swordfish'); print('at https://user:swordfish@host/', file=sys.stderr); sys.exit(1)"
    )
    with pytest.raises(CommandFailed) as caught:
        stream(
            [sys.executable, "-c", code],
            on_stdout=said.append,
            on_stderr=said.append,
            log=said.append,
            secrets=["swordfish"],
        )
    assert len(said) == 3
    assert "swordfish" not in "".join([*said, caught.value.message])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:word@host/path", "https://***@host/path"),
        ("--build-arg=API_TOKEN=abc x", "--build-arg=API_TOKEN=*** x"),
        ("--password hunter2", "--password ***"),
        ("--secret=id=ca,src=/etc/ca.pem", "--secret=id=ca,src=/etc/ca.pem"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_lines_come_as_they_are_printed() -> None:
    seen: list[tuple[str, float]] = []
    code = "import time; print('one', flush=True); time.sleep(0.5); print('two')"
    stream([sys.executable, "-c", code], on_stdout=lambda line: seen.append((line, time.monotonic())), on_stderr=silent)
    assert [line for line, _ in seen] == ["one", "two"]
    assert seen[1][1] - seen[0][1] > 0.25


@pytest.mark.parametrize("door", [run, partial(stream, on_stdout=silent, on_stderr=silent)])
def test_past_its_time_the_whole_group_goes(tmp_path: Path, door: Callable[..., object]) -> None:
    command = [sys.executable, "-c", FAMILY, str(tmp_path / "pids")]
    with pytest.raises(CommandFailed, match="it did not end within 2 s"):
        door(command, timeout=2)
    until(lambda: not any(alive(pid) for pid in family(tmp_path / "pids")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("door", ["run(c)", "stream(c, on_stdout=silent, on_stderr=silent)"])
def test_an_interrupt_takes_the_whole_group_along(tmp_path: Path, number: signal.Signals, door: str) -> None:
    record = tmp_path / "pids"
    code = f"import sys; from prebake.io.subprocesses import *; c = [sys.executable, '-c', {FAMILY!r}, {str(record)!r}]; {door}"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE)
    until(record.exists)
    child.send_signal(number)
    _, error = child.communicate(timeout=15)
    assert child.returncode != 0
    assert (b"KeyboardInterrupt" if number == signal.SIGINT else b"Stopped by SIGTERM") in error
    until(lambda: not any(alive(pid) for pid in family(record)))
