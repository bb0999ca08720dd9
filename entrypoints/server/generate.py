"""``POST /generate``: receive, take a place in the queue, wait for readiness if the client asks for it, infer, respond.

The model process reads the body and converts its fields: parsing a large body would hold up the event loop, and with it liveness.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping

from entrypoints.forms.form import reject_size
from entrypoints.forms.limits import MemoryShare, RequestMemory, find_body_size
from entrypoints.forms.raw_request import RawRequest, check_headers
from entrypoints.manifest.values import Limits
from entrypoints.processes.log import request_context
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.response import HTTPException, Response, error_response
from entrypoints.server.inference import RemoteInference
from entrypoints.server.model_link import ModelLink
from entrypoints.server.receiving import Disconnected, receive_body, wait_for, wait_until_disconnected
from entrypoints.server.response_writer import Receive, ResponseWriter
from entrypoints.server.usage import Usage

STOPPING_REASON = "the server is stopping"


class GenerateEndpoint:
    """At most ``limits.queue`` requests wait besides those at work. A request takes its place once its body is complete, so that
    slow clients keep no place from others."""

    def __init__(
        self, status: Status, timeline: Timeline, link: ModelLink, usage: Usage, memory: RequestMemory
    ) -> None:
        """``memory``: what the bodies of all models' requests may take together."""
        self._status = status
        self._timeline = timeline
        self._link = link
        self._usage = usage
        self._memory = memory
        self._writers: dict[RemoteInference, ResponseWriter] = {}

    @property
    def limits(self) -> Limits:
        """The manifest's, as soon as it is read."""
        return manifest.limits if (manifest := self._timeline.manifest) else Limits()

    @property
    def body_size(self) -> int:
        """The largest body that is accepted, in bytes: what the fields can need, as soon as they are known."""
        fields, maximum = self._timeline.fields, self.limits.body_bytes
        return find_body_size(fields, maximum) if fields else maximum

    async def respond(
        self, headers: Mapping[bytes, bytes], receive: Receive, writer: ResponseWriter
    ) -> Response | None:
        """The response that ``writer`` has to finish with; None if the client disconnected."""
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        wait_seconds = min(read_wait_seconds(headers), self.limits.seconds) if self._status.state == "starting" else 0.0
        if self._status.state != "ready" and not wait_seconds:
            return self._reject_by_state()
        try:
            self._check_queue()  # so that a body that comes in vain need not be sent
            with self._memory.share() as share:
                request = await self._receive(headers, receive, share, deadline)
                self._check_queue()
                self._usage.in_flight += 1
                try:
                    return await self._answer(request, receive, writer, wait_seconds, deadline)
                finally:
                    self._usage.in_flight -= 1
        except HTTPException as error:
            return error.response
        except Disconnected:
            return None

    async def drain(self, grace_period: float) -> int:
        """Wait until all accepted requests are answered; after the grace period ask the rest to stop. Returns how many were
        cut off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_period
        while self._usage.unanswered and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for inference in self._writers:
            inference.cancel(STOPPING_REASON)
        cut_off = self._usage.unanswered
        while self._usage.in_flight and loop.time() < deadline + 2:
            await asyncio.sleep(0.02)
        return cut_off

    async def _receive(
        self, headers: Mapping[bytes, bytes], receive: Receive, share: MemoryShare, deadline: float
    ) -> RawRequest:
        content_type, encoding = check_headers(headers)
        limit = self.body_size
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > limit:
            raise HTTPException(reject_size(limit))
        self._usage.receiving += 1
        try:
            body = await receive_body(receive, limit, share, deadline)
            return RawRequest(content_type, encoding, body, request_context.get())
        finally:
            self._usage.receiving -= 1

    def _check_queue(self) -> None:
        """Raises HTTPException (503) if no place in the queue is free."""
        if self._usage.in_flight >= self._link.workers + self.limits.queue:
            seconds = min(120, max(1, math.ceil(self._usage.generate.mean)))
            message = f"All {self.limits.queue} places in the queue are taken; retry in {seconds} s."
            raise HTTPException(error_response(503, message, headers={"retry-after": str(seconds)}))

    async def _answer(
        self, request: RawRequest, receive: Receive, writer: ResponseWriter, wait_seconds: float, deadline: float
    ) -> Response:
        loop = asyncio.get_running_loop()
        disconnected = asyncio.ensure_future(wait_until_disconnected(receive))
        try:
            if wait_seconds:
                await wait_for(self._status.decided, disconnected, min(wait_seconds, deadline - loop.time()))
                if self._status.state != "ready":
                    raise HTTPException(self._reject_by_state())
            response = await self._infer(request, writer, disconnected, deadline)
        finally:
            disconnected.cancel()
        applied = {"preference-applied": f"wait={wait_seconds:g}"} if wait_seconds else {}
        return response._replace(headers={**response.headers, **applied})

    async def _infer(
        self, request: RawRequest, writer: ResponseWriter, disconnected: asyncio.Future[None], deadline: float
    ) -> Response:
        loop = asyncio.get_running_loop()
        inference = self._link.submit(request, writer.progress_listener, deadline)
        self._writers[inference] = writer
        try:
            if inference.listener is not None:  # a stream of events begins once nothing is wrong with the request
                queued = await wait_for(inference.queued, disconnected, deadline - loop.time())
                if queued and not inference.queued.result() and inference.response.done():
                    return inference.response.result()
            async with writer.follow():
                self._show_places()
                await wait_for(inference.started, disconnected, deadline - loop.time())
                self._show_places()
                done = await wait_for(inference.response, disconnected, deadline - loop.time())
            if not done:
                raise HTTPException(self._reject_late(inference))
            response = inference.response.result()
            if response.status == 200:
                self._usage.generate.observe(inference.seconds)
            return response
        finally:
            inference.cancel("the client no longer waits for the answer")
            del self._writers[inference]
            self._show_places()

    def _show_places(self) -> None:
        for inference, writer in self._writers.items():
            writer.show_place(self._link.find_place(inference))

    def _reject_late(self, inference: RemoteInference) -> Response:
        seconds = f"{self.limits.seconds:g} s"
        if not inference.started.done():
            return error_response(504, f"The request was still in the queue {seconds} after it came; retry later.")
        waited = inference.started.result()
        message = (
            f"The model did not answer within {seconds}, {waited:.1f} s of them in the queue; send a smaller request."
        )
        return error_response(504, message)

    def _reject_by_state(self) -> Response:
        retry = {"retry-after": "1"} if self._status.state == "starting" else {}
        return error_response(503, f"The server is {self._status.state}: {self._status.reason}.", headers=retry)


def read_wait_seconds(headers: Mapping[bytes, bytes]) -> float:
    """The seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3); 0 without that header."""
    match = re.search(rb'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})', headers.get(b"prefer", b"").lower())
    return float(match[1]) if match else 0.0
