"""The model's process as the server sees it: what it told so far, and the jobs that it has."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from entrypoints.channel import Channel
from entrypoints.contract import Field
from entrypoints.faults import Fault, ModelFault
from entrypoints.log import log_event
from entrypoints.manifest import Manifest
from entrypoints.replies import Reply, error_reply
from entrypoints.settings import Settings
from entrypoints.status import Status
from entrypoints.timeline import Timeline


class RemoteJob:
    """One form on its way through the model; its futures are done in the thread that reads the channel.

    ``listener`` is called there, with the step, of how many, and a message; it must not wait for anything.
    """

    def __init__(self, link: ModelLink, number: int, listener: Callable[[int, int, str], None] | None) -> None:
        self._link = link
        self.number = number
        self.listener = listener
        self.created = time.perf_counter()
        self.began: Future[float] = Future()
        """Seconds that it waited."""
        self.reply: Future[Reply] = Future()
        self.seconds = 0.0
        self.cancelled = False

    @property
    def place(self) -> int:
        """In the queue: 1 is the next one; 0 is at work, or about to be."""
        return self._link.place(self.number)

    def cancel(self, reason: str) -> None:
        """The model is asked to stop; it may take its time."""
        self.cancelled = True
        if not self.reply.done():
            self._link.cancel(self.number, reason)


class ModelLink:
    """Attributes are written by one thread, and read by the loop."""

    def __init__(
        self, settings: Settings, status: Status, timeline: Timeline, channel: Channel, process: int, name: str = ""
    ) -> None:
        """``name`` is the model's, where there are several."""
        self.manifest: Manifest | None = None
        self.fields: tuple[Field, ...] = ()
        self.extra_files: list[str] = []
        self.threads = settings.threads
        self.workers = settings.workers
        self.verify = settings.verify
        self.process = process
        self._name = name
        self._status = status
        self._timeline = timeline
        self._channel = channel
        self._numbers = itertools.count()
        self._jobs: dict[int, RemoteJob] = {}

    @property
    def device(self) -> str:
        target = self.manifest.target if self.manifest else "unknown"
        return "cuda" if target.startswith(("cuda", "tensorrt")) else target

    @property
    def waiting(self) -> int:
        return sum(not job.began.done() for job in list(self._jobs.values()))

    def place(self, number: int) -> int:
        """How many jobs up to this one are more than can be at work at once; those that nobody waits for pass at once."""
        jobs = [job for job in list(self._jobs.values()) if job.number <= number]
        return max(0, sum(job.began.done() or not job.cancelled for job in jobs) - self.workers)

    def start(self) -> None:
        threading.Thread(target=self._read, name="link", daemon=True).start()

    def submit(self, form: Mapping[str, object], listener: Callable[[int, int, str], None] | None) -> RemoteJob:
        number = next(self._numbers)
        job = self._jobs[number] = RemoteJob(self, number, listener)
        self._channel.send("work", number, form, listener is not None)
        return job

    def cancel(self, number: int, reason: str) -> None:
        self._channel.send("cancel", number, reason)

    def _read(self) -> None:
        while True:
            try:
                kind, *parts = self._channel.receive()
            except EOFError:
                self._on_end()
                return
            getattr(self, f"_on_{kind}")(*parts)

    def _on_manifest(self, manifest: Manifest, extra_files: list[str], threads: int) -> None:
        self.extra_files, self.threads = extra_files, threads
        self.manifest = manifest

    def _on_fields(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields

    def _on_phase(self, name: str, start: float, seconds: float | None) -> None:
        self._timeline.record(name, start, seconds)

    def _on_import(self, name: str, seconds: float) -> None:
        self._timeline.imports[name] = seconds

    def _on_notice(self, text: str) -> None:
        self._timeline.notices.append(text)

    def _on_opened(self, component: str, rung: str) -> None:
        self._timeline.opened[component] = rung

    def _on_fallback(self, step: Mapping[str, str]) -> None:
        self._timeline.fallbacks.append(step)

    def _on_run(self, component: str, bucket: str) -> None:
        self._timeline.count_run(component, bucket)

    def _on_ready(self, seconds: float) -> None:
        self._timeline.ready_seconds = seconds
        self._status.become_ready()

    def _on_fault(self, fault: Fault) -> None:
        self._status.fail(fault)

    def _on_began(self, number: int, waited: float) -> None:
        self._jobs[number].began.set_result(waited)

    def _on_progress(self, number: int, step: int, steps: int, message: str) -> None:
        job = self._jobs.get(number)  # gone where a thread of the model's outlives its answer
        if job is not None and job.listener is not None:
            job.listener(step, steps, message)

    def _on_done(self, number: int, seconds: float, reply: Reply) -> None:
        job = self._jobs.pop(number)
        job.seconds = seconds
        job.reply.set_result(reply)

    def _on_end(self) -> None:
        """The model's process ends by itself only where something killed it."""
        _, status = os.waitpid(self.process, 0)
        code = os.waitstatus_to_exitcode(status)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        fault = ModelFault(f"the model's process was ended {how}").of(self._name)
        if self._status.fail(fault):
            log_event("fault", exit_code=fault.exit_code, reason=fault.reason, action=fault.action)
        for job in list(self._jobs.values()):
            if not job.began.done():
                job.began.set_result(time.perf_counter() - job.created)
            job.reply.set_result(error_reply(500, "The model's process ended before it answered."))
        self._jobs.clear()
