"""The start, overlapped: files are read and hashed during the imports, sessions open while the model's code is loaded.

Everything here runs in threads of its own; the server answers meanwhile. One real inference ends it, and its answer
must be the framework's.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from entrypoints.answers import find_difference
from entrypoints.contract import Answer, Components, Model
from entrypoints.device_memory import is_shortage
from entrypoints.faults import (
    DeviceMemoryFault,
    Fault,
    ManifestFault,
    ModelFault,
    SessionFault,
    SilentRebuild,
    WrongAnswer,
)
from entrypoints.fields import convert_form
from entrypoints.forms import Form
from entrypoints.integrity import check_sizes, list_extra
from entrypoints.log import log_event
from entrypoints.manifest import Component, Manifest
from entrypoints.manifest_file import read_manifest
from entrypoints.opener import Opener
from entrypoints.processors import count_processors
from entrypoints.reading_ahead import advise, read_ahead
from entrypoints.replies import Refusal
from entrypoints.settings import Settings
from entrypoints.shapes import describe_lengths
from entrypoints.timeline import Timeline
from entrypoints.verification import Verification, find_cause
from entrypoints.worker import Worker

if TYPE_CHECKING:
    from entrypoints.buckets import BucketSession
    from entrypoints.model_process import Report

LIBRARIES = ("numpy/_core", "numpy.libs", "onnxruntime/capi", "torch/lib")
"""Folders whose shared objects an image loads, where it has them. Paged in on demand they cost 0.6 s, not 0.1, from a cold
disk."""


class Preload:
    def __init__(
        self, settings: Settings, report: Report, timeline: Timeline, worker: Worker, member: str = ""
    ) -> None:
        """``member`` is the model, where the image has several."""
        self.manifest: Manifest | None = None
        self.threads = settings.threads or count_processors()
        self.verify = settings.verify
        self._fallback = settings.fallback
        self.extra_files: list[str] = []
        self._models = Path(settings.models)
        self._member = member
        self._report = report
        self._timeline = timeline
        self._worker = worker
        self._verification: Verification | None = None
        self._verify_began = 0.0
        self._opener: Opener | None = None

    def run(self) -> None:
        """Ends with the status ready or failed, whatever happens."""
        try:
            self._start()
        except BaseException as error:  # a model's SystemExit too: a start without an end would be the worst of all
            fault = self._explain(error).of(self._member)
            log_event("fault", exit_code=fault.exit_code, reason=fault.reason, action=fault.action)
            self._report.fail(fault)

    def _start(self) -> None:
        in_background(self._read_libraries)
        manifest = self._read_files()
        model = self._load(manifest)
        self._warm_up(manifest, model)
        self._wait_for_rest()
        self._timeline.ready_seconds = self._timeline.now()
        self._report.become_ready(self._timeline.ready_seconds)
        gc.freeze()  # what was imported lives as long as the process: no collection need look at it again
        gc.enable()
        log_event("ready", name=manifest.name, seconds=round(self._timeline.ready_seconds, 3), threads=self.threads)
        if self._verification is not None and self._verification.left:
            in_background(self._check_rest, self._verification)
        self._warm_buckets(manifest)

    def _read_files(self) -> Manifest:
        with self._timeline.phase("manifest"):
            manifest = self.manifest = read_manifest(self._models, self._member)
        with self._timeline.phase("sizes"):
            check_sizes(self._models, manifest.files)
        self.extra_files = list_extra(self._models, manifest.listed)
        if self.extra_files:
            log_event("extra files", files=self.extra_files[:20], action="nothing opens them; build the image again")
        self._report.read_manifest(manifest, self.extra_files, self.threads)
        in_background(self._read_ahead, manifest)
        if self.verify != "sizes":
            cryptographic = self.verify == "sha256"
            self._verification = Verification(
                self._models, manifest, cryptographic=cryptographic, clock=self._timeline.now
            )
        return manifest

    def _load(self, manifest: Manifest) -> Model:
        with self._timeline.importing("numpy"):
            importlib.import_module("numpy")
        if self._verification is not None:
            self._verify_began = self._timeline.now()
            self._timeline.note_phase("verify", self._verify_began, None)
            self._verification.work(1)
        for library in libraries_of(manifest):
            with self._timeline.importing(library):
                importlib.import_module(library)
        strict = (self._fallback or manifest.fallback) == "error"
        opener = self._opener = Opener(self._models, manifest, self._timeline, self._verification, strict=strict)
        opener.start(self.threads)
        with self._timeline.importing(manifest.module):
            create: Callable[[Components], Model] = importlib.import_module(manifest.module).create
        if self._verification is not None:
            self._verification.work(self.threads - 1)
        with self._timeline.phase("create"):
            return create(opener.components)

    def _warm_up(self, manifest: Manifest, model: Model) -> None:
        """Through the same conversion, queue and thread as any request."""
        warmup = manifest.warmup
        form = read_request(self._models, manifest)
        self._worker.start(model)
        self._report.accept_fields(self._worker.fields)
        with self._timeline.phase("warm-up"):
            try:
                answer = self._worker.submit(convert_form(self._worker.fields, form)).answer.result()
            except Refusal as refusal:
                message = json.loads(refusal.reply.body)["error"]["message"]
                raise ModelFault(f"the warm-up request was refused: {message}") from None
        check_nothing_new(self._models, self.extra_files, manifest)
        if self._opener is not None:
            self._opener.tell_compiled()
        with self._timeline.phase("compare"):
            compare(answer, (self._models / warmup.answer).read_bytes(), warmup.media_type, warmup.tolerance)

    def _wait_for_rest(self) -> None:
        for session in self._opener.components.sessions.values() if self._opener else ():
            session.result()
        if self._verification is not None:
            self._verification.wait()
            began = self._verify_began
            self._timeline.note_phase("verify", began, self._verification.ended - began)

    def _warm_buckets(self, manifest: Manifest) -> None:
        """Those that the warm-up request did not use, smallest first, while requests are answered already."""
        sessions = self._opener.components.sessions if self._opener else {}
        for name in (
            name for name, each in manifest.components.items() if isinstance(each, Component) and each.buckets
        ):
            warm_buckets(name, cast("BucketSession", sessions[name].result()), self._timeline)
        check_nothing_new(self._models, self.extra_files, manifest)

    def _explain(self, error: BaseException) -> Fault:
        """The fault at the bottom of it: a damaged file before a session, a session before the model's code."""
        if self._opener is not None:
            sessions = self._opener.components.sessions.values()
            failed = (future.exception() for future in sessions if future.done())
            error = next((found for found in failed if found is not None), error)
        if not isinstance(error, Fault):
            traceback.print_exception(error)
            kind = DeviceMemoryFault if is_shortage(error) and self._on_device() else ModelFault
            error = kind(f"{type(error).__name__}: {error}")
        if self.manifest is None or not isinstance(error, (SessionFault, WrongAnswer, ModelFault)):
            return error
        return find_cause(error, self._verification or self._verify_used(self.manifest))

    def _verify_used(self, manifest: Manifest) -> Verification:
        """After all, where a start failed that asked for sizes alone."""
        verification = Verification(self._models, manifest)
        verification.need(self._opener.used if self._opener else ())
        verification.work(1)
        return verification

    def _on_device(self) -> bool:
        """Whether a model's code that ran out of memory may mean the device's: on a processor the kernel ends the process."""
        return self.manifest is not None and self.manifest.target != "cpu"

    def _read_ahead(self, manifest: Manifest) -> None:
        with self._timeline.phase("read ahead"):
            read_ahead(self._models, manifest.components.values())

    def _read_libraries(self) -> None:
        with self._timeline.phase("read ahead libraries"):
            for folder in (Path(entry, name) for entry in sys.path for name in LIBRARIES):
                for library in folder.glob("*.so*"):
                    advise(library, [(0, 0)])

    def _check_rest(self, verification: Verification) -> None:
        """What this machine has no use for, in the time that requests leave: it harms nobody here, and somebody elsewhere."""
        with self._timeline.phase("verify what is not used"):
            for problem in verification.check_rest():
                self._timeline.notice(f"damaged, though nothing here uses it: {problem}")


def warm_buckets(name: str, session: BucketSession, timeline: Timeline) -> None:
    """Raises SessionFault: a bucket ran when it was baked, so that the machine, or what it was given, is not enough."""
    for shape in session.find_cold():
        bucket = describe_lengths(shape)
        with timeline.phase(f"bucket {name}: {bucket}"):
            try:
                session.warm(shape)
            except Exception as error:  # ONNX Runtime's exceptions share no base class but this
                raise SessionFault(f"{name}: the bucket {bucket} cannot be run: {error}") from error
    session.end_warming()


def libraries_of(manifest: Manifest) -> list[str]:
    """What the components are opened with, in the order in which it is imported: torch, then what builds its networks."""
    graphs = any(isinstance(component, Component) for component in manifest.components.values())
    return [*(["onnxruntime"] if graphs else []), *(["torch", manifest.torch.module] if manifest.torch else [])]


def in_background(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, name=function.__name__, daemon=True).start()


def read_request(models: Path, manifest: Manifest) -> Form:
    """The warm-up request as a form: its values as JSON would bring them, its files from the image."""
    name = manifest.warmup.request
    try:
        fields = json.loads((models / name).read_bytes())["fields"]
        files = {key: manifest.place(value["file"]) for key, value in fields.items() if isinstance(value, dict)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestFault(f'{name}: should be {{"fields": {{…}}}}, {type(error).__name__}: {error}') from None
    unknown = [f"{name}: the manifest has no file {file}" for file in files.values() if file not in manifest.files]
    if unknown:
        raise ManifestFault(unknown)
    contents = {key: (models / file).read_bytes() for key, file in files.items()}
    return Form({**fields, **contents}, is_json=True)


def check_nothing_new(models: Path, known: list[str], manifest: Manifest) -> None:
    """Raises SilentRebuild where a file appeared since the start began: an engine that did not fit was made anew, in
    minutes that nobody accounts for, and the next container would do so again."""
    if not any(each.artifacts for each in manifest.components.values()):
        return
    new = sorted(set(list_extra(models, manifest.listed)) - set(known))
    if new:
        raise SilentRebuild(f"files appeared beside the baked ones: {', '.join(new[:20])}")


def compare(answer: Answer, expected: bytes, media_type: str, tolerance: float) -> None:
    if answer.media_type.partition(";")[0] != media_type.partition(";")[0]:
        raise WrongAnswer(f"its media type should be {media_type}, is {answer.media_type}")
    difference = find_difference(expected, answer.body, media_type, tolerance)
    if difference:
        raise WrongAnswer(difference)
