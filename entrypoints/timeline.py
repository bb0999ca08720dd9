"""When each phase of the start began and how long it took, counted from the process's own start.

The kernel notes that start in clock ticks since boot (proc(5), /proc/pid/stat, field 22), so it is known to 10 ms. In a
container it is the moment the runtime forked what later became this program: the first phase, ``launch``, holds the
runtime's own last steps and the interpreter's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


def measure_process_age() -> float:
    """Seconds since the kernel started this process."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (before the bind)
        fields = file.read().rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


class Phase:
    """A stretch of the start; ``seconds`` is None while it runs."""

    def __init__(self, name: str, start: float) -> None:
        self.name = name
        self.start = start
        self.seconds: float | None = None


class Timeline:
    """Phases may overlap and come from any thread; appending to a list is atomic."""

    def __init__(self) -> None:
        age = measure_process_age()
        self._zero = time.perf_counter() - age
        self.process_started = time.time() - age
        self.ready_seconds: float | None = None
        self.phases: list[Phase] = []
        self.imports: dict[str, float] = {}
        self.show_phase: Callable[[Phase], None] = _show_nobody
        """Called when a phase begins and when it ends: how the model's process tells the other one."""
        self.show_import: Callable[[str, float], None] = _show_nobody
        self.notices: list[str] = []
        """What is not as it was baked, though it is served."""
        self.show_notice: Callable[[str], None] = _show_nobody
        self.opened: dict[str, str] = {}
        """The rung of the ladder by which each component was opened (``entrypoints.ladder``)."""
        self.show_opened: Callable[[str, str], None] = _show_nobody
        self.fallbacks: list[Mapping[str, str]] = []
        """Steps down it: component, from, to, reason and detail."""
        self.show_fallback: Callable[[Mapping[str, str]], None] = _show_nobody
        self.bucket_runs: dict[tuple[str, str], int] = {}
        """By component and bucket (``entrypoints.buckets``), as the process knows them that talks to clients."""
        self.show_run: Callable[[str, str], None] = _show_nobody

    def branch(self) -> Timeline:
        """Another one from the same moment on: of one of several models."""
        branch = Timeline()
        branch._zero, branch.process_started = self._zero, self.process_started
        return branch

    def now(self) -> float:
        """Seconds since the process started."""
        return time.perf_counter() - self._zero

    def note(self, name: str, start: float) -> None:
        """Add a phase that began at ``start`` and ends now."""
        self.note_phase(name, start, self.now() - start)

    def note_phase(self, name: str, start: float, seconds: float | None) -> None:
        """As ``record``, and shown."""
        self.show_phase(self.record(name, start, seconds))

    def record(self, name: str, start: float, seconds: float | None) -> Phase:
        """Add a phase, or how long the one that began then took."""
        phase = next((known for known in self.phases if (known.name, known.start) == (name, start)), None)
        if phase is None:
            phase = Phase(name, start)
            self.phases.append(phase)
        phase.seconds = seconds
        return phase

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        phase = Phase(name, self.now())
        self.phases.append(phase)
        self.show_phase(phase)
        try:
            yield
        finally:
            phase.seconds = self.now() - phase.start
            self.show_phase(phase)

    @contextmanager
    def importing(self, name: str) -> Iterator[None]:
        """A phase that is an import, listed among the imports as well."""
        start = self.now()
        with self.phase(f"import {name}"):
            yield
        self.imports[name] = round(self.now() - start, 4)
        self.show_import(name, self.imports[name])

    def notice(self, text: str) -> None:
        from entrypoints.log import log_event  # which imports json, and this module is imported before the bind

        self.notices.append(text)
        log_event("notice", text=text)
        self.show_notice(text)

    def note_opened(self, component: str, rung: str) -> None:
        self.opened[component] = rung
        self.show_opened(component, rung)

    def fall_back(self, component: str, left: str, taken: str, reason: str, detail: str) -> None:
        """Another way was taken than the best: logged as a warning, counted, and shown by every page about the start."""
        from entrypoints.log import log_event

        step = {"component": component, "from": left, "to": taken, "reason": reason, "detail": detail}
        self.fallbacks.append(step)
        log_event("fallback", level="warning", **step)
        self.show_fallback(step)

    def count_run(self, component: str, bucket: str) -> None:
        self.bucket_runs[component, bucket] = self.bucket_runs.get((component, bucket), 0) + 1

    def describe_phases(self) -> list[dict[str, object]]:
        return [
            {
                "name": phase.name,
                "start": round(phase.start, 4),
                "seconds": None if phase.seconds is None else round(phase.seconds, 4),
            }
            for phase in sorted(self.phases, key=lambda phase: phase.start)
        ]


def _show_nobody(*_: object) -> None:
    """This process shows its phases itself."""
