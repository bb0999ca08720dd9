"""The timeline of a start: its clock, and where events are applied.

The clock counts from the process's own start. The kernel notes that start in clock ticks since boot (proc(5),
/proc/pid/stat, field 22), so it is known to 10 ms. In a container it is the moment the runtime forked what later became
this program: the first phase, ``launch``, holds the runtime's own last steps and the interpreter's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from entrypoints.processes.start_record import StartRecord

# entrypoints.processes.events is imported by the methods below that need it: this module is imported before the bind.
if TYPE_CHECKING:
    from entrypoints.processes.events import Event


def measure_process_age() -> float:
    """Seconds since the kernel started this process."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (before the bind)
        fields = file.read().rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


class Timeline(StartRecord):
    """A start's record and its clock."""

    def __init__(self, send: Callable[[Event], None] | None = None) -> None:
        """``send`` gets every event as well: the model process passes the channel to the server process."""
        super().__init__()
        age = measure_process_age()
        self._zero = time.perf_counter() - age
        self._send = send
        self.process_started = time.time() - age
        """In seconds since the epoch."""

    def branch(self, send: Callable[[Event], None] | None = None) -> Timeline:
        """A new record with the same clock."""
        branch = Timeline(send)
        branch._zero, branch.process_started = self._zero, self.process_started
        return branch

    def take_over(self, other: Timeline) -> None:
        """The record of another start becomes this one's, on its clock. The seconds until ready stay."""
        ready = self.ready_seconds
        vars(self).update({name: vars(other)[name] for name in vars(StartRecord())})
        self.ready_seconds = ready

    def apply(self, event: Event) -> None:
        """Record the event, and send it on if this is the model process."""
        event.record(self)
        if self._send is not None:
            self._send(event)

    def now(self) -> float:
        """Seconds since the process started."""
        return time.perf_counter() - self._zero

    def end_phase(self, name: str, start: float, end: float | None = None) -> None:
        """Record a phase that ends now, or ended at ``end``."""
        from entrypoints.processes.events import PhaseEnded

        self.apply(PhaseEnded(name, start, (self.now() if end is None else end) - start))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        from entrypoints.processes.events import PhaseStarted

        start = self.now()
        self.apply(PhaseStarted(name, start))
        try:
            yield
        finally:
            self.end_phase(name, start)

    @contextmanager
    def importing(self, module: str) -> Iterator[None]:
        """A phase that is an import, listed among the imports as well."""
        from entrypoints.processes.events import ImportTimed

        start = self.now()
        with self.phase(f"import {module}"):
            yield
        self.apply(ImportTimed(module, round(self.now() - start, 4)))

    def notice(self, text: str) -> None:
        """Log and record a ``Notice``."""
        from entrypoints.processes.events import Notice
        from entrypoints.processes.log import log_event

        log_event("notice", level="warning", text=text)
        self.apply(Notice(text))

    def fall_back(self, component: str, rejected: str, opened: str, reason: str, detail: str) -> None:
        """Log and record a ``FallbackTaken``."""
        from entrypoints.processes.events import FallbackTaken
        from entrypoints.processes.log import log_event

        step = FallbackTaken(component=component, rejected=rejected, opened=opened, reason=reason, detail=detail)
        log_event("fallback", level="warning", **step.describe())
        self.apply(step)

    def describe_phases(self) -> list[dict[str, object]]:
        return [
            {"name": name, "start": round(start, 4), "seconds": None if seconds is None else round(seconds, 4)}
            for (name, start), seconds in sorted(self.phases.items(), key=lambda phase: phase[0][1])
        ]
