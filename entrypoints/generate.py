"""``POST /generate``: take in, wait for readiness where asked to, read, convert, work, answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from entrypoints.fields import convert_form
from entrypoints.forms import Disconnected, Form, read_form
from entrypoints.link import ModelLink, RemoteJob
from entrypoints.manifest import Limits
from entrypoints.replies import Outlet, Receive, Refusal, Reply, error_reply
from entrypoints.status import Status
from entrypoints.telemetry import Usage
from entrypoints.waiting import read_patience, wait_for, wait_until_gone

STOPPING = "the server is stopping"


class Generate:
    """At most ``limits.queue`` requests wait beyond those at work; the rest is refused before its body is read."""

    def __init__(self, status: Status, link: ModelLink, usage: Usage) -> None:
        self._status = status
        self._link = link
        self._usage = usage
        self._jobs: dict[RemoteJob, Outlet] = {}

    @property
    def limits(self) -> Limits:
        """The manifest's, once it is read."""
        return self._link.manifest.limits if self._link.manifest else Limits()

    async def respond(self, headers: Mapping[bytes, bytes], receive: Receive, outlet: Outlet) -> Reply | None:
        """What ``outlet`` is to be finished with; None where the client went away."""
        patience = min(read_patience(headers), self.limits.seconds) if self._status.state == "starting" else 0.0
        if self._status.state != "ready" and not patience:
            return self._refuse_state()
        if self._usage.in_flight >= self._link.workers + self.limits.queue:
            return self._refuse_queue()
        self._usage.in_flight += 1
        try:
            return await self._answer(headers, receive, outlet, patience)
        except Refusal as refusal:
            return refusal.reply
        except Disconnected:
            return None
        finally:
            self._usage.in_flight -= 1

    async def drain(self, grace: float) -> int:
        """Wait until all that was taken in is answered; then ask the rest to stop. Gives how many were cut off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self._usage.in_flight and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for job in self._jobs:
            job.cancel(STOPPING)
        cut_off = self._usage.in_flight
        while self._usage.in_flight and loop.time() < deadline + 2:
            await asyncio.sleep(0.02)
        return cut_off

    async def _answer(self, headers: Mapping[bytes, bytes], receive: Receive, outlet: Outlet, patience: float) -> Reply:
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
            reply = await self._work(form, outlet, gone)
        finally:
            gone.cancel()
        applied = {"preference-applied": f"wait={patience:g}"} if patience else {}
        return reply._replace(headers={**reply.headers, **applied})

    async def _work(self, form: Form, outlet: Outlet, gone: asyncio.Future[None]) -> Reply:
        job = self._link.submit(convert_form(self._link.fields, form), outlet.listener)
        self._jobs[job] = outlet
        try:
            async with outlet.follow():
                self._tell_places()
                await wait_for(job.began, gone)
                self._tell_places()
                done = await wait_for(job.reply, gone, self.limits.seconds)
            if done:
                reply = job.reply.result()
                if reply.status == 200:
                    self._usage.generate.observe(job.seconds)
                return reply
            message = f"The model did not answer within {self.limits.seconds:g} s; ask for less."
            raise Refusal(error_reply(504, message))
        finally:
            job.cancel("nobody waits for the answer")
            del self._jobs[job]
            self._tell_places()

    def _tell_places(self) -> None:
        for job, outlet in self._jobs.items():
            outlet.tell_place(job.place)

    def _refuse_state(self) -> Reply:
        retry = {"retry-after": "1"} if self._status.state == "starting" else {}
        return error_reply(503, f"The server is {self._status.state}: {self._status.reason}.", headers=retry)

    def _refuse_queue(self) -> Reply:
        seconds = min(120, max(1, math.ceil(self._usage.generate.mean)))
        message = f"All {self.limits.queue} places of the queue are taken; come back in {seconds} s."
        return error_reply(503, message, headers={"retry-after": str(seconds)})
