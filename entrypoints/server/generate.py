"""A request for an inference: receive, take a place in the queue, wait for readiness if the client asks for it, infer, respond.

The model process reads the body and converts its fields: parsing a large body would hold up the event loop, and with it liveness.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from entrypoints.forms.form import reject_size
from entrypoints.forms.limits import MemoryShare, RequestMemory, find_body_size
from entrypoints.forms.raw_request import JSON, RawRequest, check_headers, find_media_type
from entrypoints.manifest.values import Limits
from entrypoints.processes.log import request_context
from entrypoints.response import HTTPException, Response, error_response, exhausted_response
from entrypoints.server.inference import RemoteInference
from entrypoints.server.receiving import Disconnected, receive_body, wait_for, wait_until_disconnected
from entrypoints.server.response_writer import Receive, ResponseWriter

if TYPE_CHECKING:
    from typing import Protocol

    from entrypoints.open_inference.raw_infer import RawInfer
    from entrypoints.processes.status import Status
    from entrypoints.processes.timeline import Timeline
    from entrypoints.server.model_link import ModelLink
    from entrypoints.server.usage import Usage

    class Model(Protocol):
        """The part of ``entrypoints.server.served_model.ServedModel`` that the endpoint uses."""

        status: Status
        timeline: Timeline
        usage: Usage
        link: ModelLink
        ended_by: str

        @property
        def state(self) -> str: ...

        @property
        def label(self) -> str: ...

        @property
        def accepts(self) -> bool: ...

        @property
        def is_loaded(self) -> bool: ...

        async def require_loaded(self, deadline: float, disconnected: asyncio.Future[None]) -> None: ...

    Make = Callable[[bytes], RawRequest | RawInfer]

STOPPING_REASON = "the server is stopping"


class Call:
    """One request for an inference, while it is answered. ``limit``: bytes of its body. ``make`` gives the body its headers."""

    def __init__(self, limit: int, make: Make) -> None:
        self.limit = limit
        self.make = make
        self.received = 0.0
        """When its body was complete, by the loop's clock; 0: it is not."""
        self.inference: RemoteInference | None = None
        """As soon as the model process gets it."""


class GenerateEndpoint:
    """At most ``limits.queue`` requests wait besides those at work. A request takes its place once its body is complete, so that
    slow clients keep no place from others."""

    def __init__(self, model: Model, memory: RequestMemory) -> None:
        """``memory``: what the bodies of all models' requests may take together."""
        self._model = model
        self._status = model.status
        self._timeline = model.timeline
        self._usage = model.usage
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

    def read_form_call(self, headers: Mapping[bytes, bytes], *, of_vertex: bool = False) -> Call:
        """A request with the fields of the model. ``of_vertex``: it came to Vertex AI's path. Raises HTTPException (415)."""
        content_type, encoding = check_headers(headers)
        lists = of_vertex and find_media_type(content_type) == JSON  # of any length within the limit of all bodies
        limit = self.limits.body_bytes if lists else self.body_size
        return Call(limit, lambda body: RawRequest(content_type, encoding, body, request_context.get(), lists))

    async def respond(
        self, call: Call, headers: Mapping[bytes, bytes], receive: Receive, writer: ResponseWriter
    ) -> Response | None:
        """The response that ``writer`` has to finish with; None if the client disconnected."""
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        wait_seconds = min(read_wait_seconds(headers), self.limits.seconds) if self._status.state == "starting" else 0.0
        if not self._model.accepts and not wait_seconds:
            return self._reject_by_state()
        try:
            self._check_queue()  # so that a body that comes in vain need not be sent
            with self._memory.share() as share:
                body = await self._receive(call.limit, headers, receive, share, deadline)
                call.received = asyncio.get_running_loop().time()
                self._check_queue()
                self._usage.in_flight += 1
                try:
                    return await self._answer(call, body, receive, writer, wait_seconds, deadline)
                finally:
                    self._usage.in_flight -= 1
                    self._usage.last_used = asyncio.get_running_loop().time()
        except HTTPException as error:
            return error.response
        except Disconnected:
            return None

    async def drain(self, grace_period: float, reason: str = STOPPING_REASON) -> int:
        """Wait until all accepted requests are answered; after the grace period ask the rest to stop, for this reason. Returns
        how many were cut off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_period
        while self._usage.unanswered and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for inference in self._writers:
            inference.cancel(reason)
        cut_off = self._usage.unanswered
        while self._usage.in_flight and loop.time() < deadline + 2:
            await asyncio.sleep(0.02)
        return cut_off

    async def wait_until_answered(self) -> None:
        """For the requests that the model process has got."""
        while self._writers:
            await asyncio.sleep(0.02)

    async def _receive(
        self, limit: int, headers: Mapping[bytes, bytes], receive: Receive, share: MemoryShare, deadline: float
    ) -> bytes:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > limit:
            raise HTTPException(reject_size(limit))
        self._usage.receiving += 1
        try:
            return await receive_body(receive, limit, share, deadline)
        finally:
            self._usage.receiving -= 1

    def _check_queue(self) -> None:
        """Raises HTTPException (503) if no place in the queue is free."""
        link, in_flight = self._model.link, self._usage.in_flight - self.limits.queue
        if (
            in_flight >= link.workers and in_flight >= link.count_at_work()
        ):  # a batch has more requests than there are workers
            seconds = min(120, max(1, math.ceil(self._usage.generate.mean)))
            message = f"All {self.limits.queue} places in the queue are taken; retry in {seconds} s."
            raise HTTPException(exhausted_response(message, seconds))

    async def _answer(
        self,
        call: Call,
        body: bytes,
        receive: Receive,
        writer: ResponseWriter,
        wait_seconds: float,
        deadline: float,
    ) -> Response:
        loop = asyncio.get_running_loop()
        disconnected = asyncio.ensure_future(wait_until_disconnected(receive))
        try:
            if wait_seconds:
                await wait_for(self._status.decided, disconnected, min(wait_seconds, deadline - loop.time()))
                if self._status.state != "ready":
                    raise HTTPException(self._reject_by_state())
            await self._require_loaded(deadline, disconnected)
            response = await self._infer(call, body, writer, disconnected, deadline)
        finally:
            disconnected.cancel()
        applied = {"preference-applied": f"wait={wait_seconds:g}"} if wait_seconds else {}
        return response._replace(headers={**response.headers, **applied})

    async def _require_loaded(self, deadline: float, disconnected: asyncio.Future[None]) -> None:
        """Counts, for the hit rate, whether the model was in memory. Nothing may be awaited between this and the submission: the
        model could be unloaded."""
        self._usage.arrivals += 1
        if self._model.is_loaded:
            self._usage.hits += not self._timeline.closed
        else:
            await self._model.require_loaded(deadline, disconnected)

    async def _infer(
        self, call: Call, body: bytes, writer: ResponseWriter, disconnected: asyncio.Future[None], deadline: float
    ) -> Response:
        loop = asyncio.get_running_loop()
        begun, request = loop.time(), call.make(body)
        del body
        inference = call.inference = self._model.link.submit(request, writer.progress_listener, deadline)
        self._writers[inference] = writer
        try:
            if inference.listener is not None or not isinstance(request, RawRequest):
                # A stream of events begins once nothing is wrong with the request. One of the protocol may have a timeout.
                queued = await wait_for(inference.queued, disconnected, deadline - loop.time())
                if queued and not inference.queued.result() and inference.response.done():
                    return inference.response.result()
                if inference.timeout is not None:
                    deadline = min(deadline, begun + inference.timeout)
            del request
            async with writer.follow():
                self._show_places()
                await wait_for(inference.started, disconnected, deadline - loop.time())
                self._show_places()
                done = await wait_for(inference.response, disconnected, deadline - loop.time())
            if not done:
                raise HTTPException(reject_late(inference, self.limits.seconds))
            response = inference.response.result()
            if response.status == 200:
                self._usage.generate.observe(inference.seconds)
            return response
        finally:
            inference.cancel("the client no longer waits for the answer")
            if inference.began:
                self._usage.queue.observe(inference.started.result())
            if inference.batch_size:
                self._usage.batches.observe(inference.batch_size)
            del self._writers[inference]
            self._show_places()

    def _show_places(self) -> None:
        """Tell the clients of event streams. To find the places, every request is looked at, so it is done only for them."""
        showing = [(inference, writer) for inference, writer in self._writers.items() if writer.shows_places]
        if showing:
            places = self._model.link.find_places()
            for inference, writer in showing:
                if inference in places:
                    writer.show_place(places[inference])

    def _reject_by_state(self) -> Response:
        if self._status.state == "ready":  # an operator unloaded the model
            return reject_unloaded(self._model)
        retry = {"retry-after": "1"} if self._status.state == "starting" else {}
        return error_response(503, f"The server is {self._status.state}: {self._status.reason}.", headers=retry)


def reject_unloaded(model: Model) -> Response:
    reason = f": {model.ended_by}" if model.ended_by else ""
    message = f"The model {model.label} is {model.state}{reason}."
    if model.state == "unloaded":
        message += f" Load it by POST /v2/repository/models/{model.label}/load."
    return error_response(
        503, message, headers={"retry-after": "1" if model.state in ("loading", "restarting") else "30"}
    )


def reject_late(inference: RemoteInference, limit: float) -> Response:
    """``limit``: the model's, in seconds. The request may have a shorter one of its own."""
    if inference.timeout is not None and inference.timeout < limit:
        seconds = f"the {inference.timeout:g} s of its timeout"
    else:
        seconds = f"{limit:g} s"
    if not inference.started.done():
        return error_response(504, f"The request was still in the queue after {seconds}; retry later.")
    waited = inference.started.result()
    message = f"The model did not answer within {seconds}, {waited:.1f} s of them in the queue; send a smaller request."
    return error_response(504, message)


def read_wait_seconds(headers: Mapping[bytes, bytes]) -> float:
    """The seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3); 0 without that header."""
    match = re.search(rb'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})', headers.get(b"prefer", b"").lower())
    return float(match[1]) if match else 0.0
