"""Watches the starts of the models from outside: a model process that is stuck, in native code too, cannot end its start."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from entrypoints.errors import Fault, StartTimeout
from entrypoints.processes.events import Failed
from entrypoints.processes.log import STACKS_SIGNAL, log_fault
from entrypoints.processes.model_output import ModelOutput
from entrypoints.server.served_model import ServedModel

STACKS_SECONDS = 0.5
"""How long the stacks of a stuck process are waited for."""
FIRST_CHECK_SECONDS = 3.0
"""Until a start is looked at for a refused thread: a shorter one reads no file for that."""
CHECK_SECONDS = 1.0
IDLE_CHECKS = 3
"""A start that lacks a thread and did nothing for so many looks waits for it."""


class StartWatch:
    """Reads what the model processes print, and ends starts that take too long. Runs in the event loop."""

    def __init__(self, models: Sequence[ServedModel], outputs: Mapping[str, int], timeout: float) -> None:
        """``outputs``: by model, the pipe that its process prints to. ``timeout``: seconds since the process started; 0: none."""
        self._models = models
        self._outputs = outputs
        self._timeout = timeout
        self._begins = True
        self._idle = {model.name: (0, 0) for model in models}
        """By model, the ticks that its process had computed, and the looks since then."""
        self._ending: dict[str, asyncio.Task[None]] = {}

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before any request is answered."""
        for model in self._models:
            if model.name not in self._outputs:  # not loaded at the start
                continue
            ModelOutput(self._outputs[model.name], model.name, partial(self._read_line, model)).follow(loop)
        self._begins = False
        if self._timeout:
            loop.call_later(max(0.0, self._timeout - self._models[0].timeline.now()), self._end_late_starts)
        loop.call_later(FIRST_CHECK_SECONDS, self._look_for_refused_threads, loop)

    def _read_line(self, model: ServedModel, text: str) -> None:
        """OpenBLAS goes on without the threads that it could not start, and waits for them for ever in the first product.

        A model may print what a client has sent: later lines say nothing about the process.
        """
        if model.status.state != "starting" and not self._begins:
            return
        from entrypoints.processes.process_limit import describe_refusal, says_refused  # most starts print nothing

        if says_refused(text):
            fail(model, describe_refusal(text))

    def _look_for_refused_threads(self, loop: asyncio.AbstractEventLoop) -> None:
        """ONNX Runtime waits for ever if it cannot start all threads of a session, and says nothing."""
        starting = [model for model in self._models if model.status.state == "starting"]
        if not starting:
            return
        from entrypoints.processes.process_limit import describe_refusal, is_reached

        for model in starting if is_reached() else ():
            if self._is_idle(model):
                fault = describe_refusal(f"the start waits for a thread that was refused, in {list_phases(model)}")
                self._end_start(model, fault)
        loop.call_later(CHECK_SECONDS, self._look_for_refused_threads, loop)

    def _is_idle(self, model: ServedModel) -> bool:
        from entrypoints.processes.activity import measure_activity

        ticks, busy = measure_activity(model.link.process)
        before, looks = self._idle[model.name]
        looks = 0 if busy or ticks != before else looks + 1
        self._idle[model.name] = ticks, looks
        return looks >= IDLE_CHECKS

    def _end_late_starts(self) -> None:
        for model in self._models:
            if model.status.state == "starting":
                text = f"{self._timeout:g} s are over; still running: {list_phases(model)}"
                self._end_start(model, StartTimeout(text, {"seconds": self._timeout, "running": find_phases(model)}))

    def _end_start(self, model: ServedModel, fault: Fault) -> None:
        if model.name not in self._ending:
            self._ending[model.name] = asyncio.ensure_future(self._show_stacks_and_fail(model, fault))

    async def _show_stacks_and_fail(self, model: ServedModel, fault: Fault) -> None:
        signal_process(model, STACKS_SIGNAL)
        await asyncio.sleep(STACKS_SECONDS)
        if model.status.state == "starting":
            fail(model, fault)


def find_phases(model: ServedModel) -> dict[str, float]:
    """The phases that still run, and for how many seconds."""
    now = model.timeline.now()
    phases = list(model.timeline.phases.items())  # another thread adds to them
    return {name: round(now - start, 1) for (name, start), seconds in phases if seconds is None}


def list_phases(model: ServedModel) -> str:
    return ", ".join(f"{name} (for {seconds:g} s)" for name, seconds in find_phases(model).items()) or "no phase"


def fail(model: ServedModel, fault: Fault) -> None:
    """The model process gets no more time: it may be stuck, and its own fault would be a second one."""
    fault = fault.for_model(model.name)
    if model.status.fail(fault, log_fault):
        model.timeline.apply(Failed(fault))
    signal_process(model, signal.SIGKILL)


def signal_process(model: ServedModel, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(model.link.process, number)
