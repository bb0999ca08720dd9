"""The server process's end of the channel to one model process: events come in, inferences go out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, NoReturn

from entrypoints.errors import Fault, ModelFault, ModelHung, OutOfMemory
from entrypoints.forms.raw_request import RawRequest
from entrypoints.hardware.container_memory import ContainerMemory
from entrypoints.processes.channel import Channel
from entrypoints.processes.events import Failed
from entrypoints.processes.log import log_fault
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.response import HTTPException, Response, error_response
from entrypoints.server.inference import InferenceRequested, ProgressListener, RemoteInference

if TYPE_CHECKING:
    from entrypoints.forms.raw_clear import RawClear
    from entrypoints.open_inference.raw_infer import RawInfer


Recover = Callable[[Fault], None]


class ModelLink:
    """One thread reads the channel and applies what it reads; the event loop submits inferences."""

    def __init__(
        self,
        *,
        name: str,
        workers: int,
        hang_margin: float,
        status: Status,
        timeline: Timeline,
        channel: Channel,
        process: int,
        memory: ContainerMemory | None = None,
    ) -> None:
        """``name`` is empty if the image has one model. ``process`` is the id of the model process. ``hang_margin``: seconds
        after its deadline in which an inference may still end. ``memory``: the container's, unless a test has another."""
        self.workers = workers
        self.process = process
        self._hang_margin = hang_margin
        self._hung: ModelHung | None = None
        self._retired = False
        self._failing = threading.Lock()
        self._name = name
        self._status = status
        self._timeline = timeline
        self._channel = channel
        self._numbers = itertools.count()
        self._inferences: dict[int, RemoteInference] = {}
        self._memory = memory or ContainerMemory()
        self._kills: int | None = None
        self._hang_timer: asyncio.TimerHandle | None = None
        self.recover: Recover | None = None
        """Called once, from any thread, if the process ends after the model was ready: then it is no fault of the server."""
        self._end_fault: Fault | None = None
        """Why the process ended, as soon as it has."""

    @property
    def queue_depth(self) -> int:
        """Inferences that wait for a worker."""
        return sum(not inference.started.done() for inference in list(self._inferences.values()))

    def count_at_work(self) -> int:
        """Inferences that a worker has taken, alone or in a batch."""
        return sum(each.started.done() and not each.response.done() for each in list(self._inferences.values()))

    def find_places(self) -> Mapping[RemoteInference, int]:
        """The position of each inference without a response: 0 if it runs or is about to run, 1 if it is the next. Cancelled
        inferences do not count, as they take no worker's time."""
        under_way = [each for each in list(self._inferences.values()) if not each.response.done()]  # by their numbers
        at_work = {each for each in under_way if each.started.done()}
        places, before = {}, -max(0, self.workers - len(at_work))  # a batch has more requests than there are workers
        for inference in under_way:
            before += inference not in at_work and not inference.cancelled
            places[inference] = 0 if inference in at_work else max(0, before)
        return places

    def follow(self, status: Status, timeline: Timeline, recover: Recover | None) -> None:
        """The start of the process is over: from now on, its events and its end are the served model's. It may have ended in the
        meantime."""
        with self._failing:
            self._status, self._timeline, self.recover = status, timeline, recover
            ended = self._end_fault
        if ended is not None:
            self._fail(ended)

    def start(self) -> None:
        self._reader = threading.Thread(target=self._read_events, name="link", daemon=True)
        self._reader.start()

    def retire(self) -> None:
        """End the model process, which gives back all of its memory. The thread that reads the channel notices its end. From the
        event loop."""
        self._retired = True
        if self._hang_timer is not None:
            self._hang_timer.cancel()
        self._channel.close()

    def wait_until_ended(self, seconds: float) -> None:
        """For the model process that was retired; it is killed if it takes longer. Not from the event loop."""
        self._reader.join(seconds)
        if self._reader.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
            self._reader.join(seconds)

    def submit(
        self, request: RawRequest | RawInfer | RawClear, listener: ProgressListener | None, deadline: float
    ) -> RemoteInference:
        """From the event loop, and never waits. ``deadline`` on the loop's clock: long after it the model counts as hung.

        Raises HTTPException (503) if the request cannot be sent.
        """
        if self._retired:  # while the body came
            reason = "The model's process ended before the request was complete; retry."
            raise HTTPException(error_response(503, reason, headers={"retry-after": "1"}))
        inference = RemoteInference(next(self._numbers), self._channel, listener)
        inference.body_bytes = len(request.body)
        self._inferences[inference.number] = inference
        message = InferenceRequested(request, wants_progress=listener is not None)
        try:
            self._channel.post(inference.number, message, len(request.body))
        except RuntimeError as error:
            del self._inferences[inference.number]
            raise HTTPException(error_response(503, f"The server cannot send the request on: {error}.")) from None
        inference.hang_time = deadline + self._hang_margin
        self._check_hung_at(inference.hang_time)
        return inference

    def _check_hung_at(self, when: float) -> None:
        """One timer for all inferences: a timer for each would outlive those that end early, by the whole limit of time."""
        if self._hang_timer is not None:
            if self._hang_timer.when() <= when:
                return
            self._hang_timer.cancel()
        self._hang_timer = asyncio.get_running_loop().call_at(when, self._check_hung, context=Context())

    def _check_hung(self) -> None:
        """A model that still works on a request long after it was asked to stop would hold up every later one. The same if it
        works on nothing: then its process does not read."""
        self._hang_timer = None
        if self._retired:
            return
        now = asyncio.get_running_loop().time()
        inferences = list(self._inferences.values())
        at_work = [inference for inference in inferences if inference.started.done()]
        late = [inference for inference in at_work or inferences if inference.hang_time <= now]
        if late:
            self._end_hung(late[0])
        elif times := [inference.hang_time for inference in inferences if inference.hang_time > now]:
            self._check_hung_at(min(times))

    def _end_hung(self, inference: RemoteInference) -> None:
        seconds = time.perf_counter() - inference.created
        what = "still works on a request" if inference.started.done() else "has not begun a request"
        fault = self._hung = ModelHung(f"the model {what} {seconds:.0f} s after it came")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        self._fail(fault)  # now: a process within a driver's call may not end

    def _read_events(self) -> None:
        try:
            self._kills = self._count_kills()
            self._apply_events()
        except EOFError:
            if self._retired:
                self._wait_for_process()
                self._answer_all(error_response(503, "The model was unloaded before it answered."))
                return
            from entrypoints.processes.process_limit import explain_end  # only faults need it

            self._fail(explain_end(self._wait_for_process(), starting=self._status.state == "starting"))
        except Exception as error:  # without this thread the start would never end
            self._fail(ModelFault(f"an event of the model process cannot be used: {type(error).__name__}: {error}"))

    def _apply_events(self) -> NoReturn:
        """Raises EOFError if the model process has ended."""
        while True:
            number, event = self._channel.receive()
            if number is None:
                self._timeline.apply(event)
                self._status.follow(self._timeline)
            elif inference := self._inferences.get(number):  # a thread of the model may report after its answer
                event.apply(inference)
                if inference.response.done():
                    del self._inferences[number]

    def _wait_for_process(self) -> Fault:
        """The model process never ends by itself: it was killed, or an exception ended it."""
        try:
            _, wait_status = os.waitpid(self.process, 0)
        except ChildProcessError:
            return ModelFault("the model process has ended")
        code = os.waitstatus_to_exitcode(wait_status)
        if self._hung is not None:
            return self._hung
        if code == -signal.SIGKILL and (fault := self._find_memory_fault()):
            return fault
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return ModelFault(f"the model process was ended {how}")

    def _count_kills(self) -> int | None:
        """Those before the model process; None if it has ended already, so that its own may be among them."""
        kills = self._memory.read_kills()
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return None
        return kills

    def _find_memory_fault(self) -> OutOfMemory | None:
        """None if something else than a shortage of memory killed the model process."""
        from entrypoints.hardware.memory_faults import describe_work, make_kill_fault, was_killed

        if not was_killed(self._memory, self._kills):
            return None
        inferences = list(self._inferences.values())
        at_work = [inference for inference in inferences if inference.started.done()] or inferences
        sizes = [inference.body_bytes for inference in at_work]
        is_ready = self._timeline.ready_seconds is not None
        return make_kill_fault(self._memory, describe_work(sizes, is_ready=is_ready))

    def _fail(self, cause: Fault) -> None:
        """The fault of the start or of the server; every inference under way is answered. From any thread, more than once."""
        fault = cause.for_model(self._name)
        with self._failing:
            self._end_fault = cause
            recover, self.recover = self.recover, None
            if recover is not None and self._status.state == "ready":
                self._retired = True  # so that the end of the process is no second fault
                self._answer_all(error_response(500, "The model process ended before it answered."))
                recover(fault)
                return
            self._timeline.apply(Failed(fault))
            self._status.fail(fault, log_fault)
            self._answer_all(error_response(500, "The model process ended before it answered."))

    def _answer_all(self, response: Response) -> None:
        while self._inferences:
            _, inference = self._inferences.popitem()
            inference.settle(time.perf_counter() - inference.created)
            if not inference.response.done():
                inference.response.set_result(response)
