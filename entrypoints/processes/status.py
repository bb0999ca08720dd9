"""The state of the server or of one of its models, written by the start and the signals, read by every endpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

from entrypoints.errors import Fault
from entrypoints.processes.timeline import Timeline

State = Literal["starting", "ready", "failed", "draining"]


class Status:
    """``starting`` becomes ``ready``; both may fail or drain, and either is final."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.fault: Fault | None = None
        self.decided: Future[None] = Future()
        """Done as soon as the state is no longer ``starting``."""
        self.failed: Future[None] = Future()
        self._lock = threading.Lock()

    @property
    def reason(self) -> str | None:
        if self.fault is not None:
            return self.fault.reason
        return {"starting": "the model is loading", "draining": "the server is stopping"}.get(self.state)

    def follow(self, timeline: Timeline) -> None:
        """Take over what the timeline says of the start: ready, or failed."""
        if timeline.fault is not None:
            self.fail(timeline.fault)
        elif timeline.ready_seconds is not None:
            self.become_ready()

    def become_ready(self) -> None:
        with self._lock:
            if self.state == "starting":
                self._change("ready")

    def fail(self, fault: Fault, log: Callable[[Fault], None] | None = None) -> bool:
        """False if the server was stopping anyway, so that the fault matters to nobody. ``log`` is called before anything that
        follows from the fault, as the process may end at once."""
        with self._lock:
            if self.state in ("failed", "draining"):
                return False
            if log is not None:
                log(fault)
            self.fault = fault
            self._change("failed")
            self.failed.set_result(None)
            return True

    def drain(self) -> None:
        with self._lock:
            if self.state != "failed":
                self._change("draining")

    def _change(self, state: State) -> None:
        self.state = state
        if not self.decided.done():
            self.decided.set_result(None)
