"""The tracer around small programs on this machine, as it runs in a container."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prebake.measure.counters.counters import Counters, read_counters
from prebake.measure.counters.tracer.kernel import MACHINES
from prebake.measure.counters.tracer_command import tracer_command

pytestmark = pytest.mark.skipif(
    platform.machine() not in MACHINES, reason="the tracer does not know this processor's calls"
)
_SECONDS = 60.0
MIB = 2**20

PROGRAM = """
    import mmap, os, sys, threading, time
    import colorsys
    descriptor = os.open(sys.argv[1], os.O_RDONLY)
    for _ in range(3):
        os.read(descriptor, 2**20)
    mapping = mmap.mmap(descriptor, 2**20, prot=mmap.PROT_READ)
    try:
        os.open("/nowhere", os.O_RDONLY)
    except FileNotFoundError:
        pass
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start(), thread.join()
    if os.fork() == 0:
        import wave
        os._exit(0)
    os.wait()
    print("ready", flush=True)
    time.sleep(600)
"""


def under_tracer(*command: str) -> list[str]:
    """This Python runs the tracer, so that the test needs no other."""
    return [sys.executable, *tracer_command(command)[1:]]


@contextmanager
def traced(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    words = under_tracer(sys.executable, "-B", "-c", textwrap.dedent(program), *arguments)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if "ready" in line:
            return
    raise AssertionError("the program ended before it was ready")


def count(program: str, *arguments: str) -> Counters:
    with traced(program, *arguments) as process:
        wait_ready(process)
        process.send_signal(signal.SIGUSR1)
        output, _ = process.communicate(timeout=_SECONDS)
    counters = read_counters(output)
    assert counters is not None, output
    assert counters.counted, counters.reason
    return counters


def run(*command: str) -> tuple[int, Counters | None]:
    ended = subprocess.run(under_tracer(*command), capture_output=True, text=True, check=False, timeout=_SECONDS)
    return ended.returncode, read_counters(ended.stdout)


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of 3 MiB outside /tmp, whose files are not counted."""
    path = Path.home() / f".prebake-test-{os.getpid()}"
    path.write_bytes(bytes(3 * MIB))
    yield path
    path.unlink()


def test_a_program_of_two_processes_is_counted(data: Path) -> None:
    counters = count(PROGRAM, str(data))
    file = counters.files[str(data)]
    assert (file.opened, file.read, file.mapped) == (1, 3 * MIB, MIB)
    assert {"colorsys", "wave"} <= counters.modules.keys()
    assert "/nowhere" not in counters.files
    assert (counters.threads_created, counters.processes_created, counters.peak_threads) == (1, 1, 2)
    assert counters.system_calls["openat"] > len(counters.files)
    assert "execve" not in counters.system_calls, "what the tracer does before the program runs is not counted"
    assert counters.minor_faults > 0


def test_two_runs_have_the_same_modules_and_files(data: Path) -> None:
    first, second = count(PROGRAM, str(data)), count(PROGRAM, str(data))
    assert first.modules == second.modules
    assert first.files == second.files


def test_work_after_the_request_is_waited_for(data: Path) -> None:
    """A thread that computes makes no call for a while; the file that it opens afterwards is counted."""
    program = """
        import sys, time
        print("ready", flush=True)
        end = time.process_time() + 1.5
        while time.process_time() < end:
            pass
        open(sys.argv[1]).close()
        time.sleep(600)
    """
    assert count(program, str(data)).files[str(data)].opened == 1


def test_a_program_that_ends_first_gives_its_exit_code() -> None:
    assert run("sh", "-c", "exit 3") == (3, None)
    assert run("sh", "-c", "kill -9 $$") == (137, None)


def test_a_program_that_does_not_exist_is_a_reason() -> None:
    code, counters = run("no-such-program")
    assert code == 0
    assert counters is not None
    assert (counters.counted, counters.reason) == (False, "no-such-program: No such file or directory")


def test_signals_reach_the_program() -> None:
    assert run("sh", "-c", "trap 'exit 5' USR2; kill -USR2 $$; exit 6") == (5, None)


REFUSE_PTRACE = """
    import os, sys
    from prebake.measure.counters.tracer import kernel
    architecture, _ = kernel.MACHINES[os.uname().machine]
    number = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
    # Load the number of the call; EPERM (SECCOMP_RET_ERRNO with 1) if it is ptrace.
    kernel.Kernel().install_filter([(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)])
    os.execv(sys.argv[1], sys.argv[1:])
"""


def test_forbidden_ptrace_is_a_reason() -> None:
    words = [sys.executable, "-c", textwrap.dedent(REFUSE_PTRACE), *under_tracer("true")]
    ended = subprocess.run(words, capture_output=True, text=True, check=True, timeout=_SECONDS)
    counters = read_counters(ended.stdout)
    assert counters is not None
    assert not counters.counted
    assert counters.reason == "ptrace is forbidden in this container (Operation not permitted)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_program_never_outlives_the_tracer(number: signal.Signals) -> None:
    program = """
        import os, time
        print("ready", os.getpid(), flush=True)
        time.sleep(600)
    """
    with traced(program) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "ready" in line)
        process.send_signal(number)
        process.wait(_SECONDS)
        program_id = int(line.split()[1])
        deadline = time.monotonic() + _SECONDS
        while runs(program_id):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def runs(process: int) -> bool:
    """A zombie does not run; this machine's first process may reap it late."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
