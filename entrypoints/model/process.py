"""The process that holds one model: it loads it, and answers the requests of the server process.

There are two processes, because imports and decoding hold the interpreter's lock: in one process every import of the server
would delay the model's, and a busy model would delay the liveness answer. A crash in native code ends only this process, and is
reported.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from entrypoints.contract import Answer, BadRequest, Cancelled
from entrypoints.forms.fields import convert_form, measure_form
from entrypoints.forms.form import read_form
from entrypoints.forms.limits import MemoryShare
from entrypoints.forms.raw_clear import RawClear
from entrypoints.forms.raw_request import RawRequest
from entrypoints.model.inference import Inference
from entrypoints.model.preload import Preload
from entrypoints.model.worker import Worker
from entrypoints.processes.channel import Channel
from entrypoints.processes.exit import finish
from entrypoints.processes.log import log_event, request_context
from entrypoints.processes.timeline import Timeline
from entrypoints.response import HTTPException, Response, error_response
from entrypoints.server.inference import (
    InferenceCancelled,
    InferenceEnded,
    InferenceProgressed,
    InferenceQueued,
    InferenceRequested,
    InferenceStarted,
)
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.model.inference import Compute
    from entrypoints.open_inference.raw_infer import RawInfer


class ModelProcess:
    def __init__(self, settings: Settings, timeline: Timeline, channel: Channel, model_name: str) -> None:
        """``timeline`` is that of the program before the fork; ``model_name`` is empty if the image has one model."""
        self._channel = channel
        self._worker = Worker(settings.workers, settings.batch_size, settings.batch_wait)
        self._inferences: dict[int, Inference] = {}
        events = timeline.branch(send=partial(channel.send, None))
        self._preload = Preload(settings, events, self._worker, model_name)

    def run_in_thread(self, load_model: Callable[[Preload], None]) -> None:
        try:
            threading.Thread(target=load_model, args=(self._preload,), name="preload", daemon=True).start()
        except RuntimeError as error:  # the limit of threads
            self._preload.fail(error)

    def answer_requests(self) -> NoReturn:
        """Run until the server process has ended; then this process ends."""
        while True:
            try:
                number, message = self._channel.receive()
            except EOFError:
                finish(0)
            assert number is not None  # the server process sends nothing about the start  # noqa: S101
            if isinstance(message, InferenceRequested):
                self._begin(number, message)
            elif isinstance(message, InferenceCancelled) and (inference := self._inferences.get(number)):
                inference.cancel(message.reason)
            del message  # its body may be large, and the next message may come much later

    def _begin(self, number: int, message: InferenceRequested) -> None:
        """Read the request here: the thread that reads messages has no other work, and a large body delays no client's answer."""

        def send_progress(step: int, steps: int, text: str) -> None:
            self._channel.send(number, InferenceProgressed(step, steps, text))

        request_context.set(message.request.context)
        share = self._preload.memory.share()
        try:
            compute, timeout = self._read(message.request, share)
        except BaseException as error:  # this thread must outlive every request
            share.close()
            self._channel.send(number, InferenceEnded(0.0, make_error_response(error)))
            return
        if message.wants_progress or not isinstance(message.request, RawRequest):
            self._channel.send(number, InferenceQueued(timeout))
        inference = self._worker.submit(compute, send_progress if message.wants_progress else None, share)
        self._inferences[number] = inference
        # By its number: a callback that held the inference would keep a large answer until the next garbage collection.
        inference.started.add_done_callback(lambda waited: self._start(number, waited.result()))
        inference.answer.add_done_callback(lambda _: self._end(number))

    def _read(self, request: RawRequest | RawInfer | RawClear, share: MemoryShare) -> tuple[Compute, float | None]:
        """As ``entrypoints.model.infer.prepare_infer``, for each kind of request. Raises HTTPException, or BadRequest."""
        if isinstance(request, RawRequest) and request.of_vertex:
            from entrypoints.model.instances import prepare_request  # late: a start does not need it

            return prepare_request(self._worker, self._preload, request, share), None
        if isinstance(request, RawClear):
            from entrypoints.model.clear import prepare_clear  # late: a start does not need it

            return prepare_clear(request), None
        if isinstance(request, RawRequest):
            return read_request(self._worker, self._preload.body_size, request, share), None
        from entrypoints.model.infer import prepare_infer  # late: a start does not need it

        return prepare_infer(self._worker, self._preload, request, share)

    def _start(self, number: int, waited: float) -> None:
        self._channel.send(number, InferenceStarted(waited, self._inferences[number].batch_size))

    def _end(self, number: int) -> None:
        inference = self._inferences.pop(number)
        self._channel.send(number, InferenceEnded(inference.seconds, make_response(inference), inference.times))


def read_request(worker: Worker, limit: int, request: RawRequest, share: MemoryShare) -> Compute:
    """Raises HTTPException for a body or fields that the model does not take, and BadRequest if the model measures requests."""
    values = convert_form(worker.fields, read_form(request, limit, share))
    share.shrink_to(measure_form(values))
    return worker.make_call(request.context, values)


def make_response(inference: Inference) -> Response:
    """The response of an inference that has ended."""
    error = inference.answer.exception()
    if error is None:
        waited = inference.started.result()
        timing = {"server-timing": f"queue;dur={waited * 1e3:.1f}, generate;dur={inference.seconds * 1e3:.1f}"}
        return convert_answer(inference.answer.result(), timing)
    if isinstance(error, Cancelled) and inference.cancelled():
        return error_response(503, f"The request was not finished: {inference.cancel_reason}.")
    return make_error_response(error)


def make_error_response(error: BaseException) -> Response:
    if isinstance(error, HTTPException):
        return error.response
    if isinstance(error, BadRequest):
        status = error.status if 400 <= error.status < 500 else 422
        return error_response(status, str(error), {error.field: str(error)} if error.field else {})
    from entrypoints.model.memory_errors import answer_memory_error  # late: a start does not need it

    if (too_large := answer_memory_error(error)) is not None:
        return too_large
    trace = traceback.format_exception(error)
    log_event("generate failed", level="error", error=f"{type(error).__name__}: {error}", traceback=trace)
    return error_response(500, "The model failed at this request; the server's log has the error.")


def convert_answer(answer: Answer, headers: Mapping[str, str]) -> Response:
    return Response(200, answer.body, answer.media_type, {**answer.headers, **headers})
