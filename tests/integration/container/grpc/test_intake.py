"""Places for messages that come: slow ones give way, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from entrypoints.contract import BadRequest
from entrypoints.forms.limits import RequestMemory
from entrypoints.response import HTTPException
from entrypoints.server.grpc.intake import MIN_PLACES, Intake


class Call:
    """A call whose message comes when the test says so."""

    def __init__(self) -> None:
        self.message: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def read(self) -> Awaitable[Any]:
        return self.message


def make_intake() -> Intake:
    """For messages so large that only the fewest come at once."""
    return Intake(RequestMemory(1000), 1000)


def test_messages_come_one_after_the_other_if_all_places_are_taken() -> None:
    async def run() -> None:
        places, calls = make_intake(), [Call() for _ in range(3 * MIN_PLACES)]
        tasks = [asyncio.ensure_future(places.receive(call, 20)) for call in calls]
        for number, call in enumerate(calls):
            call.message.set_result(b"%d" % number)
        assert await asyncio.gather(*tasks) == [b"%d" % number for number in range(len(calls))]
        again = Call()
        again.message.set_result(b"again")
        assert await places.receive(again, 20) == b"again"

    asyncio.run(run())


def test_a_call_that_ends_gives_its_place_back() -> None:
    async def run() -> None:
        places, calls = make_intake(), [Call() for _ in range(MIN_PLACES)]
        tasks = [asyncio.ensure_future(places.receive(call, 20)) for call in calls]
        waiting = [asyncio.ensure_future(places.receive(Call(), 20)) for _ in range(3)]
        last = Call()
        last.message.set_result(b"last")
        answer = asyncio.ensure_future(places.receive(last, 20))
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        waiting[0].cancel()  # after it was called
        for task in waiting[1:]:
            task.cancel()
        assert await asyncio.wait_for(answer, 20) == b"last"
        for task in tasks:
            task.cancel()

    asyncio.run(run())


def test_a_slow_message_is_refused() -> None:
    async def run() -> None:
        with pytest.raises(HTTPException) as error:
            await make_intake().receive(Call(), 0.05)
        assert error.value.response.status == 408
        places = make_intake()
        held = [asyncio.ensure_future(places.receive(Call(), 20)) for _ in range(MIN_PLACES)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException) as error:
            await places.receive(Call(), 0.05)
        assert error.value.response.exhausted
        for task in held:
            task.cancel()

    asyncio.run(run())


def test_a_call_without_a_message_is_refused() -> None:
    async def run() -> None:
        call = Call()
        call.message.set_result(None)  # not bytes, as grpc.EOF
        with pytest.raises(BadRequest, match="no message"):
            await make_intake().receive(call, 20)

    asyncio.run(run())
