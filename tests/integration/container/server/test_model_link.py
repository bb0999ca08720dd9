"""The link of the server process to a model process, over a real socket pair."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from entrypoints.errors import Fault
from entrypoints.forms.raw_request import RawRequest
from entrypoints.processes.channel import Channel
from entrypoints.processes.events import Notice, Ready
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.response import Response
from entrypoints.server.inference import InferenceEnded, InferenceRequested, InferenceStarted, RemoteInference
from entrypoints.server.model_link import ModelLink
from tests.support.container.running import wait_until

SMALL = RawRequest("application/json", "", b"{}")
LARGE = RawRequest("application/json", "", bytes(5_000_000))


class Ends(NamedTuple):
    link: ModelLink
    status: Status
    other: Channel


def make_link(process: int, hang_margin: float = 30.0) -> Ends:
    """``other`` is the model process's end of the channel."""
    ours, theirs = socket.socketpair()
    status = Status()
    link = ModelLink(
        name="",
        workers=1,
        hang_margin=hang_margin,
        status=status,
        timeline=Timeline(),
        channel=Channel(ours),
        process=process,
    )
    link.start()
    return Ends(link, status, Channel(theirs))


async def submit(link: ModelLink, request: RawRequest = SMALL, seconds: float = 60.0) -> RemoteInference:
    return link.submit(request, None, asyncio.get_running_loop().time() + seconds)


def test_an_event_that_cannot_be_used_ends_the_start_and_answers_what_waits() -> None:
    """Without the thread that reads events the start would never end."""
    link, status, other = make_link(os.getpid())
    waiting = asyncio.run(submit(link))
    other.send(None, Notice("well"))
    other.send(None, InferenceRequested(SMALL, wants_progress=False))  # no event of a start
    assert waiting.response.result(timeout=30).status == 500
    status.failed.result(timeout=30)
    assert "an event of the model process cannot be used: AttributeError" in str(status.fault)


def test_a_process_that_does_not_read_holds_up_nobody_and_gets_everything_in_order() -> None:
    ended = subprocess.Popen(["true"])  # what the link finds at the end of the test
    link, _, other = make_link(ended.pid)

    async def submit_all() -> list[RemoteInference]:
        async with asyncio.timeout(30):
            return [await submit(link, request) for request in (SMALL, LARGE, SMALL, LARGE, *[SMALL] * 2000)]

    sent = asyncio.run(submit_all())
    sent[0].cancel("nobody waits for the answer")
    received = [other.receive() for _ in range(len(sent) + 1)]
    assert [number for number, _ in received] == [*(inference.number for inference in sent), sent[0].number]
    assert [len(event.request.body) for _, event in received[:4]] == [2, 5_000_000, 2, 5_000_000]


def hang(*, begun: bool) -> str:
    """The reason of the fault, if a model was asked to answer within 0.2 s and does not; its process ends."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    async def wait_for_fault() -> str:
        link, status, other = make_link(process.pid, hang_margin=0.2)
        inference = await submit(link, seconds=0.2)
        behind = await submit(link, seconds=0.1)
        if begun:
            other.send(inference.number, InferenceStarted(0.0))
        async with asyncio.timeout(30):
            await asyncio.wrap_future(status.failed)
        assert {each.response.result(timeout=30).status for each in (inference, behind)} == {500}
        assert status.fault
        assert status.fault.exit_code == 87
        return str(status.fault)

    try:
        reason = asyncio.run(wait_for_fault())
        wait_until(lambda: is_ended(process.pid), "the end of the process")
        return reason
    finally:
        process.kill()


def is_ended(process: int) -> bool:
    """Whether it is gone, or waits to be reaped, which the link does once the channel ends."""
    try:
        return " Z " in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it may be reaped while the file is open
        return True


def test_a_model_that_works_on_after_its_deadline_is_ended() -> None:
    assert "still works on a request" in hang(begun=True)


def test_a_model_that_begins_nothing_is_ended() -> None:
    assert "has not begun a request" in hang(begun=False)


def test_requests_that_end_early_leave_nothing_in_the_event_loop() -> None:
    """A timer for each would stay until its deadline: with clients that leave, memory would grow for that long."""
    link, _, _ = make_link(os.getpid())

    async def count_timers() -> int:
        for seconds in range(100, 200):
            (await submit(link, seconds=seconds)).cancel("nobody waits for the answer")
        return sum(not timer.cancelled() for timer in asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]

    assert asyncio.run(count_timers()) == 1


def test_the_deadline_that_ends_a_model_is_the_earliest_of_those_that_are_at_work() -> None:
    """Whichever came first, and although a request with an earlier deadline has been answered."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    async def wait_for_fault() -> int:
        link, status, other = make_link(process.pid, hang_margin=0.0)
        _, answered, hanging = [await submit(link, seconds=seconds) for seconds in (600, 0.1, 0.4)]
        for each in (answered, hanging):
            other.send(each.number, InferenceStarted(0.0))
        other.send(answered.number, InferenceEnded(0.0, Response(200, b"", "text/plain")))
        async with asyncio.timeout(30):
            await asyncio.wrap_future(status.failed)
        return answered.response.result().status

    try:
        assert asyncio.run(wait_for_fault()) == 200
    finally:
        process.kill()


def test_a_process_that_ends_before_the_model_takes_it_over_is_noticed() -> None:
    """Between ready and `follow` the link still has the status of the start."""
    ended = subprocess.Popen(["true"])
    link, status, other = make_link(ended.pid)
    other.send(None, Ready(1.0))
    other.close()
    status.failed.result(timeout=30)
    served = Status()
    served.become_ready()
    recovered: list[Fault] = []
    link.follow(served, Timeline(), recovered.append)
    assert (len(recovered), served.fault) == (1, None)
    link.follow(served, Timeline(), None)
    assert served.fault is not None
