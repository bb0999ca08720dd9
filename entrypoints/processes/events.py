"""The events of a start: the model process sends them to the server process, and both record them.

Each event is an immutable tuple, so that it is cheap to pickle, and it knows what it changes: `record(start)`. To add
an event, add a class here and apply it where it happens: `timeline.apply(Event(...))`. If it records something new, that is an
attribute of `StartRecord`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Protocol

    from entrypoints.contract import Field
    from entrypoints.errors import Fault
    from entrypoints.manifest.values import Manifest
    from entrypoints.processes.start_record import StartRecord

    class Event(Protocol):  # making a protocol takes longer than a named tuple, at each start
        def record(self, start: StartRecord) -> None: ...


class PhaseStarted(NamedTuple):
    """``start``: seconds since the process started."""

    name: str
    start: float

    def record(self, start: StartRecord) -> None:
        start.phases[self.name, self.start] = None


class PhaseEnded(NamedTuple):
    """Also of a phase whose start was not announced."""

    name: str
    start: float
    seconds: float

    def record(self, start: StartRecord) -> None:
        start.phases[self.name, self.start] = self.seconds


class ImportTimed(NamedTuple):
    module: str
    seconds: float

    def record(self, start: StartRecord) -> None:
        start.imports[self.module] = self.seconds


class Notice(NamedTuple):
    """Something differs from what was baked, and the model is served nevertheless."""

    text: str

    def record(self, start: StartRecord) -> None:
        start.notices.append(self.text)


class ManifestRead(NamedTuple):
    manifest: Manifest
    extra_files: list[str]
    """Files under the models folder that the manifest does not list."""
    threads: int

    def record(self, start: StartRecord) -> None:
        start.extra_files, start.threads = self.extra_files, self.threads
        start.manifest = self.manifest


class ComponentOpened(NamedTuple):
    """``name`` is that of the artifact or provider which the component was opened with (``entrypoints.runtime.fallback``)."""

    component: str
    name: str

    def record(self, start: StartRecord) -> None:
        start.opened[self.component] = self.name


class ComponentEvicted(NamedTuple):
    """A component was closed to make room for another (``entrypoints.components.resident_components``)."""

    component: str

    def record(self, start: StartRecord) -> None:
        start.closed[self.component] = True
        start.evictions[self.component] = start.evictions.get(self.component, 0) + 1


class ComponentReloaded(NamedTuple):
    """A component that had been closed is open again; it took ``seconds``."""

    component: str
    seconds: float

    def record(self, start: StartRecord) -> None:
        start.closed.pop(self.component, None)
        times, seconds = start.reloads.get(self.component, (0, 0.0))
        start.reloads[self.component] = times + 1, seconds + self.seconds


class FallbackTaken(NamedTuple):
    """A component was opened with a later candidate than the first of the image."""

    component: str
    rejected: str
    opened: str
    reason: str
    detail: str

    def describe(self) -> dict[str, str]:
        """As the log, ``/startup`` and ``/health`` show it."""
        return {
            "component": self.component,
            "from": self.rejected,
            "to": self.opened,
            "reason": self.reason,
            "detail": self.detail,
        }

    def record(self, start: StartRecord) -> None:
        start.fallbacks.append(self.describe())


class FieldsAccepted(NamedTuple):
    """The form fields of the model are known: requests can be converted."""

    fields: tuple[Field, ...]

    def record(self, start: StartRecord) -> None:
        start.fields = self.fields


class BucketRun(NamedTuple):
    """A component ran in one of its shape buckets (``entrypoints.runtime.bucket_session``)."""

    component: str
    bucket: str

    def record(self, start: StartRecord) -> None:
        key = self.component, self.bucket
        start.bucket_runs[key] = start.bucket_runs.get(key, 0) + 1


class Ready(NamedTuple):
    """``seconds`` since the process started."""

    seconds: float

    def record(self, start: StartRecord) -> None:
        start.ready_seconds = self.seconds


class Failed(NamedTuple):
    """The start failed, or the model process ended later: no request is answered any more."""

    fault: Fault

    def record(self, start: StartRecord) -> None:
        start.fault = self.fault
