"""``POST /generate``: take in, wait for readiness where asked to, read, convert, work, answer."""

from __future__ import annotations

import asyncio
import math
import re
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from entrypoints.contract import Answer, BadRequest, Cancelled
from entrypoints.fields import convert_form
from entrypoints.forms import Disconnected, Form, read_form
from entrypoints.log import log_event
from entrypoints.manifest import Limits
from entrypoints.replies import Receive, Refusal, Reply, error_reply
from entrypoints.status import Status
from entrypoints.telemetry import Telemetry
from entrypoints.worker import Job, Worker

STOPPING = "the server is stopping"


class Generate:
    """At most ``limits.queue`` requests wait beyond those at work; the rest is refused before its body is read."""

    def __init__(self, status: Status, worker: Worker, telemetry: Telemetry, read_limits: Callable[[], Limits]) -> None:
        self._read_limits = read_limits
        self._status = status
        self._worker = worker
        self._telemetry = telemetry
        self._jobs: set[Job] = set()

    @property
    def limits(self) -> Limits:
        """The manifest's, once it is read."""
        return self._read_limits()

    async def respond(self, headers: Mapping[bytes, bytes], receive: Receive) -> Reply | None:
        """None where the client went away."""
        patience = min(read_patience(headers), self.limits.seconds) if self._status.state == "starting" else 0.0
        if self._status.state != "ready" and not patience:
            return self._refuse_state()
        if self._telemetry.in_flight >= self._worker.threads + self.limits.queue:
            return self._refuse_queue()
        self._telemetry.in_flight += 1
        try:
            return await self._answer(headers, receive, patience)
        except Refusal as refusal:
            return refusal.reply
        except Disconnected:
            return None
        finally:
            self._telemetry.in_flight -= 1

    async def drain(self, grace: float) -> int:
        """Wait until all that was taken in is answered; then ask the rest to stop. Gives how many were cut off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self._telemetry.in_flight and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for job in self._jobs:
            job.cancel(STOPPING)
        cut_off = self._telemetry.in_flight
        while self._telemetry.in_flight and loop.time() < deadline + 2:
            await asyncio.sleep(0.02)
        return cut_off

    async def _answer(self, headers: Mapping[bytes, bytes], receive: Receive, patience: float) -> Reply:
        try:
            async with asyncio.timeout(self.limits.seconds):
                form = await read_form(headers, receive, self.limits.body_bytes)
        except TimeoutError:
            raise Refusal(error_reply(408, f"The body did not arrive within {self.limits.seconds:g} s.")) from None
        gone = asyncio.ensure_future(wait_until_gone(receive))
        try:
            if patience:
                await wait_for(self._status.settled, gone, patience)
                if self._status.state != "ready":
                    raise Refusal(self._refuse_state())
            reply = await self._work(form, gone)
        finally:
            gone.cancel()
        applied = {"preference-applied": f"wait={patience:g}"} if patience else {}
        return reply._replace(headers={**reply.headers, **applied})

    async def _work(self, form: Form, gone: asyncio.Future[None]) -> Reply:
        job = self._worker.submit(convert_form(self._worker.fields, form))
        self._jobs.add(job)
        try:
            await wait_for(job.began, gone)
            if await wait_for(job.answer, gone, self.limits.seconds):
                if job.answer.exception() is None:
                    self._telemetry.generate.observe(job.seconds)
                return make_reply(job)
            message = f"The model did not answer within {self.limits.seconds:g} s; ask for less."
            raise Refusal(error_reply(504, message))
        finally:
            job.cancel("nobody waits for the answer")
            self._jobs.discard(job)

    def _refuse_state(self) -> Reply:
        retry = {"retry-after": "1"} if self._status.state == "starting" else {}
        return error_reply(503, f"The server is {self._status.state}: {self._status.reason}.", headers=retry)

    def _refuse_queue(self) -> Reply:
        seconds = min(120, max(1, math.ceil(self._telemetry.generate.mean)))
        message = f"All {self.limits.queue} places of the queue are taken; come back in {seconds} s."
        return error_reply(503, message, headers={"retry-after": str(seconds)})


def read_patience(headers: Mapping[bytes, bytes]) -> float:
    """Seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3); 0 where it is not asked for."""
    found = re.search(rb'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})', headers.get(b"prefer", b"").lower())
    return float(found[1]) if found else 0.0


async def wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_for(future: Future[Any], gone: asyncio.Future[None], seconds: float | None = None) -> bool:
    """Whether the thread's future is done in time. Raises Disconnected where the client goes first.

    Not ``asyncio.wrap_future``: that would cancel the thread's future with ours.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def mark() -> None:
        if not done.done():
            done.set_result(None)

    future.add_done_callback(lambda _: loop.call_soon_threadsafe(mark))
    await asyncio.wait({done, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if gone.done() and not future.done():
        raise Disconnected
    return future.done()


def make_reply(job: Job) -> Reply:
    error = job.answer.exception()
    if error is None:
        waited = job.began.result()
        timing = {"server-timing": f"queue;dur={waited * 1e3:.1f}, generate;dur={job.seconds * 1e3:.1f}"}
        return accept_answer(job.answer.result(), timing)
    if isinstance(error, BadRequest):
        status = error.status if 400 <= error.status < 500 else 422
        return error_reply(status, str(error), {error.field: str(error)} if error.field else {})
    if isinstance(error, Cancelled) and job.cancelled():
        return error_reply(503, f"The request was not finished: {job.cancelled_for}.")
    log_event("generate failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exception(error))
    return error_reply(500, "The model failed at this request; the server's log says more.")


def accept_answer(answer: Answer, headers: Mapping[str, str]) -> Reply:
    return Reply(200, answer.body, answer.media_type, {**answer.headers, **headers})
