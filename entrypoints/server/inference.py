"""One inference as the server process sees it, and the messages about it that cross the channel.

Messages are immutable tuples that the channel sends together with the inference's number. The server process sends
`InferenceRequested` and `InferenceCancelled`; the model process answers by events that change the server's `Inference`:
`event.apply(inference)`. To add an event, add a class here and send it from `entrypoints.model.process`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from entrypoints.forms.raw_request import RawRequest
from entrypoints.processes.channel import Channel
from entrypoints.response import Response

if TYPE_CHECKING:
    from entrypoints.forms.raw_clear import RawClear
    from entrypoints.open_inference.raw_infer import RawInfer
    from entrypoints.open_inference.statistics import InferTimes

ProgressListener = Callable[[int, int, str], None]
"""Called with the step that the model did, the number of steps, and a message."""


class InferenceRequested(NamedTuple):
    request: RawRequest | RawInfer | RawClear
    wants_progress: bool


class InferenceCancelled(NamedTuple):
    reason: str


class InferenceQueued(NamedTuple):
    """The request was read, and is no longer refused for what it says. Sent if the client wants progress, and for every request
    of the Open Inference Protocol. ``timeout``: seconds that its client gives it, None for no limit of its own."""

    timeout: float | None = None

    def apply(self, inference: RemoteInference) -> None:
        inference.timeout = self.timeout
        inference.queued.set_result(True)


class InferenceStarted(NamedTuple):
    waited: float
    """Seconds in the queue."""
    batch_size: int = 0
    """The requests of the batch that it is the first of, 1 if it is alone; 0 for the others, and for a model without batches."""

    def apply(self, inference: RemoteInference) -> None:
        inference.batch_size = self.batch_size
        inference.began = time.perf_counter()
        inference.started.set_result(self.waited)


class InferenceProgressed(NamedTuple):
    step: int
    steps: int
    message: str

    def apply(self, inference: RemoteInference) -> None:
        if inference.listener is not None:
            inference.listener(self.step, self.steps, self.message)


class InferenceEnded(NamedTuple):
    """``seconds``: how long the model worked. ``times``: of a request of the Open Inference Protocol that was answered."""

    seconds: float
    response: Response
    times: InferTimes | None = None

    def apply(self, inference: RemoteInference) -> None:
        inference.seconds = self.seconds
        inference.times = self.times
        inference.response.set_result(self.response)
        inference.settle(0.0)  # it may have been refused before it was queued


class RemoteInference:
    """One form that was sent to the model process. Its futures are done in the thread that reads the channel.

    ``listener`` is called in that thread, so it must not wait for anything.
    """

    def __init__(self, number: int, channel: Channel, listener: ProgressListener | None) -> None:
        self.number = number
        self.listener = listener
        self.created = time.perf_counter()
        self.queued: Future[bool] = Future()
        """False if it was refused for what it says. Done early only for requests whose ``InferenceQueued`` is sent."""
        self.timeout: float | None = None
        self.started: Future[float] = Future()
        """Seconds that it waited."""
        self.began = 0.0
        """When a worker took it, by ``time.perf_counter``; 0: none did, although ``started`` may be done."""
        self.response: Future[Response] = Future()
        self.seconds = 0.0
        self.batch_size = 0
        """As in ``InferenceStarted``."""
        self.times: InferTimes | None = None
        self.body_bytes = 0
        """The size of the body that the model process got. The report of its end has it."""
        self.cancelled = False
        self.hang_time = math.inf
        """From then on, by the loop's clock, the model that still works on it counts as hung."""
        self._channel = channel

    def settle(self, waited: float) -> None:
        """Nothing more will be heard of its beginning."""
        if not self.queued.done():
            self.queued.set_result(False)
        if not self.started.done():
            self.started.set_result(waited)

    def cancel(self, reason: str) -> None:
        """Ask the model to stop; it may take its time. Never waits."""
        self.cancelled = True
        if not self.response.done():
            self._channel.post(self.number, InferenceCancelled(reason))
