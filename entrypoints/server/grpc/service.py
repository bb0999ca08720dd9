"""Answers calls. Each becomes the operation of REST that means the same, so that both have one queue, one deadline, one budget of
memory, one set of statistics and one text for each error."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from entrypoints.contract import BadRequest
from entrypoints.open_inference.grpc.messages import encode
from entrypoints.open_inference.grpc.wire import NotProtobuf
from entrypoints.processes.log import log_event, request_context
from entrypoints.response import HTTPException, Response, error_response, exhausted_response
from entrypoints.server.grpc.exchange import GrpcExchange
from entrypoints.server.grpc.grpc_status import end_call
from entrypoints.server.grpc.health import Health
from entrypoints.server.grpc.heap import Heap
from entrypoints.server.grpc.intake import MAX_CALLS, Intake
from entrypoints.server.grpc.methods import (
    CHECK,
    LIVE,
    METHODS,
    NAMES,
    PROBES,
    READY,
    SERVICE,
    WATCH,
    read_call,
    write_answer,
)
from entrypoints.server.http.access_log import AccessLog
from entrypoints.server.http.exchange import MAX_TRACEBACK_CHARACTERS
from entrypoints.server.open_inference.request import Request
from entrypoints.server.response_writer import Message, ResponseWriter

if TYPE_CHECKING:
    from entrypoints.server.open_inference.endpoints import OpenInference
    from entrypoints.server.tracing.tracer import Tracer
    from entrypoints.server.usage import ServerUsage

LEAVE_SECONDS = 5.0
"""How long a call whose client is gone may take to end."""


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Messages come and go as bytes: large ones are read by the model process."""

    def __init__(
        self,
        protocol: OpenInference,
        health: Health,
        intake: Intake,
        access_log: AccessLog,
        usage: ServerUsage,
        tracer: Tracer | None,
        seconds: float,
    ) -> None:
        """``tracer``: None if no traces are sent. ``seconds`` that a message may take to arrive."""
        self._protocol = protocol
        self._health = health
        self._intake = intake
        self._access_log = access_log
        self._usage = usage
        self._tracer = tracer
        self._seconds = seconds
        self._open = 0
        self._heap = Heap(lambda: not self._open)

    def service(self, details: Any) -> Any:
        """The handler of a method. Each is given as one of streams, as those read their message themselves."""
        if details.method == WATCH:
            return grpc.stream_stream_rpc_method_handler(self._watch)
        return grpc.stream_unary_rpc_method_handler(partial(self._answer, details.method))

    async def _answer(self, path: str, _messages: object, context: Any) -> bytes:
        exchange = self._begin(path, context)
        self._open += 1
        task = asyncio.ensure_future(self._respond(exchange, context))
        response: Response | None = None
        try:
            response = await asyncio.shield(task)
        except asyncio.CancelledError:
            exchange.leave()
            await asyncio.wait({task}, timeout=LEAVE_SECONDS)
            task.cancel()
            raise
        finally:
            self._open -= 1
            self._heap.note(exchange.bytes_in)
            if response is None:
                self._record(exchange, None, "CANCELLED")
        return await self._finish(exchange, context, response)

    async def _finish(self, exchange: GrpcExchange, context: Any, response: Response | None) -> bytes:
        if response is None:  # nobody waits for it
            response = Response(499, b"")
        end = end_call(response, exchange.details["request_id"])
        self._record(exchange, response, end.status)
        context.set_trailing_metadata(end.metadata)
        if end.status == "OK":
            return response.body
        # Not by abort(): its exception is in a circle of references, which keeps the message until the next garbage collection.
        context.set_code(grpc.StatusCode[end.status])
        context.set_details(end.text)
        return b""

    def _begin(self, path: str, context: Any) -> GrpcExchange:
        metadata = context.invocation_metadata() or ()
        route = path if path in NAMES else "other"
        exchange = GrpcExchange(path, metadata, context.peer(), route=route, is_probe=path in PROBES)
        if self._tracer is not None:
            exchange.state["trace"] = self._tracer.begin(exchange.headers, exchange.details)
        request_context.set(exchange.details)
        return exchange

    async def _respond(self, exchange: GrpcExchange, context: Any) -> Response | None:
        """None if the client is gone."""
        try:
            return await self._choose(exchange, context)
        except HTTPException as error:
            return error.response
        except BadRequest as error:
            return error_response(error.status, str(error))
        except NotProtobuf as error:
            return error_response(400, f"The message cannot be read: {error}.")
        except Exception as error:
            text = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARACTERS:]
            log_event("request failed", level="error", path=exchange.path[:200], traceback=text)
            return error_response(500, "The server failed to answer; its log says why.")

    async def _choose(self, exchange: GrpcExchange, context: Any) -> Response | None:
        path = exchange.path
        if path not in NAMES:
            return error_response(
                501, f"There is no method {path[:200]}; {SERVICE} and grpc.health.v1.Health are served."
            )
        if path == LIVE:  # their messages are empty
            return Response(200, encode("ServerLiveResponse", {"live": self._health.is_live}))
        if path == READY:
            return Response(200, encode("ServerReadyResponse", {"ready": self._health.is_ready}))
        if path in PROBES:
            return await self._answer_probe(exchange, await self._intake.receive_probe(context))
        if self._open > MAX_CALLS:
            return exhausted_response(f"{MAX_CALLS} calls are open; retry later.", 5)
        message = await self._intake.receive(context, self._seconds)
        exchange.bytes_in = len(message)
        return await self._ask(exchange, message)

    async def _answer_probe(self, exchange: GrpcExchange, message: bytes) -> Response | None:
        exchange.bytes_in = len(message)
        if exchange.path == CHECK:
            return self._health.check(message)
        return await self._ask(exchange, message)

    async def _ask(self, exchange: GrpcExchange, message: bytes) -> Response | None:
        route, exchange.body = read_call(exchange.path, message)
        writer = ResponseWriter(refuse_send)  # nothing is sent before the answer
        is_infer = exchange.path not in METHODS
        request = Request(route, dict(exchange.headers), exchange.receive, writer, exchange.state, protobuf=is_infer)
        if not is_infer:
            request = request._replace(headers={name: value for name, value in exchange.headers if name != b"prefer"})
        else:
            request = request._replace(headers={})  # how gRPC sends a message is none of the model's business
        response = await self._protocol.answer(request)
        return None if response is None else write_answer(exchange.path, response)

    async def _watch(self, _messages: object, context: Any) -> AsyncIterator[bytes]:
        exchange = self._begin(WATCH, context)
        response: Response | None = None
        try:
            message = await self._intake.receive_probe(context)
            exchange.bytes_in = len(message)
            async for state in self._health.watch(message):
                yield state
        except HTTPException as error:
            response = error.response
        except (BadRequest, NotProtobuf) as error:
            response = error_response(400, f"The message cannot be read: {error}.")
        finally:
            if response is None:
                self._record(exchange, None, "CANCELLED")
        if response is not None:
            await self._finish(exchange, context, response)

    def _record(self, exchange: GrpcExchange, response: Response | None, status: str) -> None:
        record = exchange.record(response, status)
        self._usage.count_request(record.state, record.status, record.seconds)
        self._access_log.write(record)
        if self._tracer is not None:
            self._tracer.record(record)


async def refuse_send(_: Message) -> None:
    raise RuntimeError("a call has one answer")
