"""``POST /generate``: accept, read, wait for readiness if the client asks for it, convert, infer, respond."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from entrypoints.manifest.values import Limits
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.field_conversion import convert_form
from entrypoints.server.inference import RemoteInference
from entrypoints.server.model_link import ModelLink
from entrypoints.server.request_body import Disconnected, Form, read_form
from entrypoints.server.responses import HTTPException, Receive, Response, ResponseWriter, error_response
from entrypoints.server.usage import Usage

STOPPING_REASON = "the server is stopping"


class GenerateEndpoint:
    """At most ``limits.queue`` requests wait besides those at work; others are rejected before their body is read."""

    def __init__(self, status: Status, timeline: Timeline, link: ModelLink, usage: Usage) -> None:
        self._status = status
        self._timeline = timeline
        self._link = link
        self._usage = usage
        self._writers: dict[RemoteInference, ResponseWriter] = {}

    @property
    def limits(self) -> Limits:
        """The manifest's, as soon as it is read."""
        return manifest.limits if (manifest := self._timeline.manifest) else Limits()

    async def respond(
        self, headers: Mapping[bytes, bytes], receive: Receive, writer: ResponseWriter
    ) -> Response | None:
        """The response that ``writer`` has to finish with; None if the client disconnected."""
        wait_seconds = min(read_wait_seconds(headers), self.limits.seconds) if self._status.state == "starting" else 0.0
        if self._status.state != "ready" and not wait_seconds:
            return self._reject_by_state()
        if self._usage.in_flight >= self._link.workers + self.limits.queue:
            return self._reject_full_queue()
        self._usage.in_flight += 1
        try:
            return await self._answer(headers, receive, writer, wait_seconds)
        except HTTPException as error:
            return error.response
        except Disconnected:
            return None
        finally:
            self._usage.in_flight -= 1

    async def drain(self, grace_period: float) -> int:
        """Wait until all accepted requests are answered; after the grace period ask the rest to stop. Returns how many were
        cut off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_period
        while self._usage.in_flight and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for inference in self._writers:
            inference.cancel(STOPPING_REASON)
        cut_off = self._usage.in_flight
        while self._usage.in_flight and loop.time() < deadline + 2:
            await asyncio.sleep(0.02)
        return cut_off

    async def _answer(
        self, headers: Mapping[bytes, bytes], receive: Receive, writer: ResponseWriter, wait_seconds: float
    ) -> Response:
        try:
            async with asyncio.timeout(self.limits.seconds):
                form = await read_form(headers, receive, self.limits.body_bytes)
        except TimeoutError:
            raise HTTPException(
                error_response(408, f"The body did not arrive within {self.limits.seconds:g} s.")
            ) from None
        disconnected = asyncio.ensure_future(wait_until_disconnected(receive))
        try:
            if wait_seconds:
                await wait_for(self._status.decided, disconnected, wait_seconds)
                if self._status.state != "ready":
                    raise HTTPException(self._reject_by_state())
            response = await self._infer(form, writer, disconnected)
        finally:
            disconnected.cancel()
        applied = {"preference-applied": f"wait={wait_seconds:g}"} if wait_seconds else {}
        return response._replace(headers={**response.headers, **applied})

    async def _infer(self, form: Form, writer: ResponseWriter, disconnected: asyncio.Future[None]) -> Response:
        inference = self._link.submit(convert_form(self._timeline.fields, form), writer.progress_listener)
        self._writers[inference] = writer
        try:
            async with writer.follow():
                self._show_places()
                await wait_for(inference.started, disconnected)
                self._show_places()
                done = await wait_for(inference.response, disconnected, self.limits.seconds)
            if done:
                response = inference.response.result()
                if response.status == 200:
                    self._usage.generate.observe(inference.seconds)
                return response
            message = f"The model did not answer within {self.limits.seconds:g} s; send a smaller request."
            raise HTTPException(error_response(504, message))
        finally:
            inference.cancel("the client no longer waits for the answer")
            del self._writers[inference]
            self._show_places()

    def _show_places(self) -> None:
        for inference, writer in self._writers.items():
            writer.show_place(self._link.find_place(inference))

    def _reject_by_state(self) -> Response:
        retry = {"retry-after": "1"} if self._status.state == "starting" else {}
        return error_response(503, f"The server is {self._status.state}: {self._status.reason}.", headers=retry)

    def _reject_full_queue(self) -> Response:
        seconds = min(120, max(1, math.ceil(self._usage.generate.mean)))
        message = f"All {self.limits.queue} places in the queue are taken; retry in {seconds} s."
        return error_response(503, message, headers={"retry-after": str(seconds)})


def read_wait_seconds(headers: Mapping[bytes, bytes]) -> float:
    """The seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3); 0 without that header."""
    match = re.search(rb'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})', headers.get(b"prefer", b"").lower())
    return float(match[1]) if match else 0.0


async def wait_until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_for(future: Future[Any], disconnected: asyncio.Future[None], seconds: float | None = None) -> bool:
    """Whether the thread's future is done in time. Raises Disconnected if the client disconnects first.

    Not ``asyncio.wrap_future``: that would cancel the thread's future with ours.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def mark() -> None:
        if not done.done():
            done.set_result(None)

    future.add_done_callback(lambda _: loop.call_soon_threadsafe(mark))
    await asyncio.wait({done, disconnected}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if disconnected.done() and not future.done():
        raise Disconnected
    return future.done()
