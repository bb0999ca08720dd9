"""A container whose memory is used up says so: at a request, during a start, and after the kernel ended the model process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from entrypoints.errors import Fault, ModelFault, OutOfMemory
from entrypoints.forms.raw_request import RawRequest
from entrypoints.hardware.container_memory import ContainerMemory
from entrypoints.hardware.memory import is_about_device, is_out_of_memory
from entrypoints.processes.channel import Channel
from entrypoints.processes.events import Notice, Ready
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.inference import InferenceStarted, RemoteInference
from entrypoints.server.model_link import ModelLink
from tests.support.container.running import Server, Start, wait_until

LIMIT = 100 << 20


@pytest.mark.parametrize(("manner", "where"), [("huge", "container"), ("wrapped", "container"), ("device", "device")])
def test_a_request_that_needs_too_much_memory_is_told_to_be_smaller(server: Server, manner: str, where: str) -> None:
    response = server.post(json={"values": "1,2,3,4", "manner": manner})
    assert response.status_code == 413
    assert response.json()["error"]["message"].startswith(f"This request needs more memory than the {where} has; send")
    logged = [event for event in server.events if event["event"] == "out of memory"][-1]
    assert logged["of"] == where
    assert logged["error"]
    assert ("current" in logged) == (where == "container" and ContainerMemory().read_current() is not None)
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    assert server.status() == "ready"


def test_a_start_that_needs_too_much_memory_ends_with_that_fault(start: Start) -> None:
    server = start(TINY_HUGE="yes", PREBAKE_FAILURE_EXIT_DELAY="0.2")
    assert server.wait() == OutOfMemory.exit_code
    (fault,) = [event for event in server.events if event["event"] == "fault"]
    assert "Unable to allocate" in fault["reason"]
    assert "limit" in fault["reason"]
    assert "more memory" in fault["action"]


@pytest.mark.parametrize(
    ("error", "is_memory", "is_device"),
    [
        (MemoryError(), True, False),
        (RuntimeError("std::bad_alloc"), True, False),
        (OSError(12, "Cannot allocate memory"), True, False),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True, False),
        (RuntimeError("CUDA failure 2: out of memory ; GPU=0"), True, True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True, True),
        (RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"), True, False),
        (OSError(2, "No such file or directory"), False, False),
        (ValueError("the prompt is too long"), False, False),
    ],
)
def test_errors_that_mean_memory(error: BaseException, is_memory: bool, is_device: bool) -> None:
    assert is_out_of_memory(error) is is_memory
    assert is_about_device(error, on_device=False) is is_device


def test_the_runtimes_own_words_mean_the_device_where_graphs_run_on_one() -> None:
    assert is_about_device(RuntimeError("Failed to allocate memory for requested buffer"), on_device=True)
    assert not is_about_device(MemoryError("Unable to allocate 7 TiB"), on_device=True)


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert not is_out_of_memory(first)


class Kernel:
    """A control group in a folder, and a model process that is killed as the kernel kills it: it counts first."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "cgroup"
        self.root.mkdir()
        (folder / "membership").write_text("0::/\n")
        self.write("memory.max", str(LIMIT))
        self.memory = ContainerMemory(self.root, folder / "membership", folder / "absent")

    def write(self, name: str, content: str) -> None:
        (self.root / name).write_text(content + "\n")

    def count(self, kills: int, peak: int) -> None:
        self.write("memory.events", f"max 4\noom 1\noom_kill {kills}")
        self.write("memory.peak", str(peak))


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


Kill = Callable[..., Fault]


async def submit(link: ModelLink, bodies: Iterable[str]) -> list[RemoteInference]:
    deadline = asyncio.get_running_loop().time() + 60
    return [link.submit(RawRequest("application/json", "", body.encode()), None, deadline) for body in bodies]


@pytest.fixture
def kill(kernel: Kernel) -> Iterator[Kill]:
    """Kill a process at the other end of a link. Gives the fault of the link."""
    children: list[subprocess.Popen[bytes]] = []

    def kill(before: Callable[[], None], *, is_ready: bool = True, bodies: tuple[str, ...] = ()) -> Fault:
        ours, theirs = socket.socketpair()
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        children.append(child)
        status, timeline = Status(), Timeline()
        link = ModelLink(
            name="",
            workers=1,
            hang_margin=60.0,
            status=status,
            timeline=timeline,
            channel=Channel(ours),
            process=child.pid,
            memory=kernel.memory,
        )
        inferences = asyncio.run(submit(link, bodies))
        link.start()
        other = Channel(theirs)
        other.send(None, Notice("begun"))
        wait_until(lambda: bool(timeline.notices), "the link")
        if is_ready:
            other.send(None, Ready(1.0))
            status.decided.result(timeout=30)
        for inference in inferences:
            other.send(inference.number, InferenceStarted(0.0))
            inference.started.result(timeout=30)
        before()
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        theirs.shutdown(socket.SHUT_RDWR)  # as its end does
        status.failed.result(timeout=30)
        child.returncode = -signal.SIGKILL  # the link has waited for it
        assert status.fault is not None
        return status.fault

    yield kill
    for child in children:
        if child.returncode is None:
            child.kill()
            child.wait()


def test_a_kill_for_memory_at_a_request(kernel: Kernel, kill: Kill) -> None:
    kernel.count(2, 0)
    fault = kill(lambda: kernel.count(3, LIMIT), bodies=("x" * 60_000, "y"))
    assert isinstance(fault, OutOfMemory)
    assert fault.reason == (
        "out of memory: the kernel ended the model process at 2 requests, the largest with a body of 60,000 bytes: the memory "
        "of the container was used up (limit 104,857,600 bytes, peak 104,857,600 bytes)"
    )
    assert fault.details == {"limit": LIMIT, "peak": LIMIT}


def test_a_kill_for_memory_during_the_start(kernel: Kernel, kill: Kill) -> None:
    kernel.count(0, 0)
    fault = kill(lambda: kernel.count(1, LIMIT), is_ready=False)
    assert isinstance(fault, OutOfMemory)
    assert "ended the model process during the start: the memory of the container" in fault.reason


def test_a_kill_before_the_server_process_looked(kernel: Kernel) -> None:
    """The kill is in the count already when the count is read first."""
    kernel.count(1, LIMIT)
    ours, theirs = socket.socketpair()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    theirs.close()
    status = Status()
    link = ModelLink(
        name="",
        workers=1,
        hang_margin=60.0,
        status=status,
        timeline=Timeline(),
        channel=Channel(ours),
        process=child.pid,
        memory=kernel.memory,
    )
    link.start()
    status.failed.result(timeout=30)
    child.returncode = -signal.SIGKILL  # the link has waited for it
    assert isinstance(status.fault, OutOfMemory)


def test_a_kill_for_the_memory_of_the_machine(kernel: Kernel, kill: Kill) -> None:
    kernel.count(0, 0)
    fault = kill(lambda: kernel.count(1, LIMIT // 2))
    assert isinstance(fault, OutOfMemory)
    assert "between requests: the memory of the machine, or of the Pod, was used up" in fault.reason


def test_a_kill_by_somebody_is_no_shortage_of_memory(kernel: Kernel, kill: Kill) -> None:
    kernel.count(2, LIMIT)  # an earlier process was killed, and the page cache has filled the limit
    fault = kill(lambda: None)
    assert isinstance(fault, ModelFault)
    assert "ended by SIGKILL" in fault.reason


@pytest.mark.parametrize(("peak", "expected"), [(LIMIT - 4096, OutOfMemory), (LIMIT // 2, ModelFault)])
def test_a_kernel_that_does_not_count_kills(kernel: Kernel, kill: Kill, peak: int, expected: type[Fault]) -> None:
    kernel.write("memory.peak", str(peak))
    assert isinstance(kill(lambda: None), expected)
