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
from typing import NoReturn

from entrypoints.contract import Answer, BadRequest, Cancelled
from entrypoints.model.preload import Preload
from entrypoints.model.worker import Inference, Worker
from entrypoints.processes.channel import Channel
from entrypoints.processes.exit import finish
from entrypoints.processes.log import log_event
from entrypoints.processes.timeline import Timeline
from entrypoints.server.inference import (
    InferenceCancelled,
    InferenceEnded,
    InferenceProgressed,
    InferenceRequested,
    InferenceStarted,
)
from entrypoints.server.responses import Response, error_response
from entrypoints.settings import Settings


class ModelProcess:
    def __init__(self, settings: Settings, timeline: Timeline, channel: Channel, model_name: str) -> None:
        """``timeline`` is that of the program before the fork; ``model_name`` is empty if the image has one model."""
        self._channel = channel
        self._worker = Worker(settings.workers)
        self._inferences: dict[int, Inference] = {}
        events = timeline.branch(send=partial(channel.send, None))
        self._preload = Preload(settings, events, self._worker, model_name)

    def run_in_thread(self, load_model: Callable[[Preload], None]) -> None:
        threading.Thread(target=load_model, args=(self._preload,), name="preload", daemon=True).start()

    def answer_requests(self) -> NoReturn:
        """Run until the server process has ended; then this process ends."""
        while True:
            try:
                number, request = self._channel.receive()
            except EOFError:
                finish(0)
            assert number is not None  # the server process sends nothing about the start  # noqa: S101
            if isinstance(request, InferenceRequested):
                self._begin(number, request)
            elif isinstance(request, InferenceCancelled) and (inference := self._inferences.get(number)):
                inference.cancel(request.reason)

    def _begin(self, number: int, request: InferenceRequested) -> None:
        def send_progress(step: int, steps: int, message: str) -> None:
            self._channel.send(number, InferenceProgressed(step, steps, message))

        inference = self._worker.submit(request.form, send_progress if request.wants_progress else None)
        self._inferences[number] = inference
        inference.started.add_done_callback(
            lambda waited: self._channel.send(number, InferenceStarted(waited.result()))
        )
        inference.answer.add_done_callback(lambda _: self._end(number, inference))

    def _end(self, number: int, inference: Inference) -> None:
        self._channel.send(number, InferenceEnded(inference.seconds, make_response(inference)))
        self._inferences.pop(number, None)


def make_response(inference: Inference) -> Response:
    """The response of an inference that has ended."""
    error = inference.answer.exception()
    if error is None:
        waited = inference.started.result()
        timing = {"server-timing": f"queue;dur={waited * 1e3:.1f}, generate;dur={inference.seconds * 1e3:.1f}"}
        return convert_answer(inference.answer.result(), timing)
    if isinstance(error, BadRequest):
        status = error.status if 400 <= error.status < 500 else 422
        return error_response(status, str(error), {error.field: str(error)} if error.field else {})
    if isinstance(error, Cancelled) and inference.cancelled():
        return error_response(503, f"The request was not finished: {inference.cancel_reason}.")
    from entrypoints.model.memory_errors import answer_memory_error  # late: a start does not need it

    if (too_large := answer_memory_error(error)) is not None:
        return too_large
    log_event("generate failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exception(error))
    return error_response(500, "The model failed at this request; the server's log has the error.")


def convert_answer(answer: Answer, headers: Mapping[str, str]) -> Response:
    return Response(200, answer.body, answer.media_type, {**answer.headers, **headers})
