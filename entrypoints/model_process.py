"""The process that holds the model: it preloads, works, and tells the other one, which talks to clients.

Two processes, because imports and decoding hold the interpreter's lock: in one process every import of the server would
delay the model's, and a busy model the liveness answer. A crash in native code ends this process alone, and is named.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import NoReturn

from entrypoints.channel import Channel
from entrypoints.contract import Field
from entrypoints.ending import finish
from entrypoints.faults import Fault
from entrypoints.manifest import Manifest
from entrypoints.outcomes import make_reply
from entrypoints.preload import Preload
from entrypoints.settings import Settings
from entrypoints.timeline import Phase, Timeline
from entrypoints.worker import Job, Worker


class Report:
    """What the preload has to tell."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def read_manifest(self, manifest: Manifest, extra_files: list[str], threads: int) -> None:
        self._channel.send("manifest", manifest, extra_files, threads)

    def accept_fields(self, fields: tuple[Field, ...]) -> None:
        self._channel.send("fields", fields)

    def become_ready(self, seconds: float) -> None:
        self._channel.send("ready", seconds)

    def fail(self, fault: Fault) -> None:
        self._channel.send("fault", fault)

    def show_phase(self, phase: Phase) -> None:
        self._channel.send("phase", phase.name, phase.start, phase.seconds)

    def show_import(self, name: str, seconds: float) -> None:
        self._channel.send("import", name, seconds)

    def show_notice(self, text: str) -> None:
        self._channel.send("notice", text)

    def show_opened(self, component: str, rung: str) -> None:
        self._channel.send("opened", component, rung)

    def show_fallback(self, step: Mapping[str, str]) -> None:
        self._channel.send("fallback", step)

    def show_run(self, component: str, bucket: str) -> None:
        self._channel.send("run", component, bucket)


class ModelProcess:
    """Reads messages until the other process is gone, and ends then."""

    def __init__(self, settings: Settings, timeline: Timeline, channel: Channel, member: str) -> None:
        self._channel = channel
        self._worker = Worker(settings.workers)
        self._jobs: dict[int, Job] = {}
        report = Report(channel)
        timeline.show_phase, timeline.show_import = report.show_phase, report.show_import
        timeline.show_notice, timeline.show_opened = report.show_notice, report.show_opened
        timeline.show_fallback, timeline.show_run = report.show_fallback, report.show_run
        self._preload = Preload(settings, report, timeline, self._worker, member)

    def run(self) -> NoReturn:
        threading.Thread(target=self._preload.run, name="preload", daemon=True).start()
        while True:
            try:
                kind, *parts = self._channel.receive()
            except EOFError:
                finish(0)
            if kind == "work":
                self._take_in(*parts)
            elif kind == "cancel":
                self._cancel(*parts)

    def _take_in(self, number: int, form: Mapping[str, object], listening: bool) -> None:
        listener = partial(self._channel.send, "progress", number) if listening else None
        job = self._jobs[number] = self._worker.submit(form, listener)
        job.began.add_done_callback(lambda waited: self._channel.send("began", number, waited.result()))
        job.answer.add_done_callback(lambda _: self._hand_over(number, job))

    def _hand_over(self, number: int, job: Job) -> None:
        self._channel.send("done", number, job.seconds, make_reply(job))
        self._jobs.pop(number, None)

    def _cancel(self, number: int, reason: str) -> None:
        job = self._jobs.get(number)
        if job is not None:
            job.cancel(reason)
