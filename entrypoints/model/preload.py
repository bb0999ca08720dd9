"""The steps of a model process's start. `entrypoints.serve.load_model` has their order.

Steps overlap: files are read and hashed during the imports, components open while the model's code is imported. All of it
runs in threads of its own; the server process answers meanwhile.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from entrypoints.components.opener import Opener
from entrypoints.contract import Components, Model
from entrypoints.errors import Fault, ModelFault, SessionFault, WrongAnswer
from entrypoints.files.readahead import advise, read_ahead
from entrypoints.files.verification import Verification, check_sizes, find_root_cause, list_extra_files
from entrypoints.forms.limits import RequestMemory, find_body_size
from entrypoints.hardware.cpu_quota import count_cpus
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import Manifest, OnnxComponent
from entrypoints.model.warmup import answer_request, check_answer, check_no_new_files, read_request, warm_buckets
from entrypoints.model.worker import Worker
from entrypoints.processes.events import Failed, FieldsAccepted, ManifestRead, PhaseStarted, Ready
from entrypoints.processes.exit import finish
from entrypoints.processes.log import log_event, log_exception, log_fault
from entrypoints.processes.timeline import Timeline
from entrypoints.settings import Settings

LIBRARY_FOLDERS = ("numpy/_core", "numpy.libs", "onnxruntime/capi", "torch/lib")
"""Folders whose shared objects an image loads, if it has them. From a cold disk they take 0.1 s if they are read ahead, and
0.6 s if they are paged in on demand."""

Create = Callable[[Components], Model]


class Preload:
    """The steps of a start of one model, which ``entrypoints.serve.load_model`` calls in order. They write to the
    timeline, whose events reach the server process."""

    def __init__(self, settings: Settings, timeline: Timeline, worker: Worker, model_name: str = "") -> None:
        """``model_name`` is empty if the image has one model."""
        self._models = Path(settings.models)
        self._model_name = model_name
        self._verify = settings.verify
        self._fallback = settings.fallback
        self._memory_check = settings.memory_check
        self.performs = settings.mode == "performance"
        self._budgets = {"host": settings.host_memory, "device": settings.device_memory}
        self._pinned, self._together = settings.find_pinned(model_name), settings.list_together(model_name)
        self._threads = settings.threads or count_cpus()
        self._address = settings.address
        self._timeline = timeline
        self._worker = worker
        self.memory = RequestMemory()
        """The memory budget of all requests of this model."""
        self._request_memory = settings.request_memory
        self._models_of_image = len(settings.model_names) or 1
        self.components: Components | None = None
        """As soon as they are opening."""
        self.body_size = 0
        """The largest body of a request in bytes, as soon as the model's fields are known."""
        self.manifest: Manifest | None = None
        self._extra_files: list[str] = []
        self._verification: Verification | None = None
        self._verification_start = 0.0
        self._opener: Opener | None = None

    def begin_reading_libraries(self) -> None:
        run_in_thread(self._read_libraries)

    def read_manifest(self) -> Manifest:
        with self._timeline.phase("manifest"):
            manifest = self.manifest = read_manifest(self._models, self._model_name)
        with self._timeline.phase("sizes"):
            check_sizes(self._models, manifest.files)
        extra = self._extra_files = list_extra_files(self._models, manifest.listed)
        if extra:
            action = "nothing opens them; build the image again"
            log_event("extra files", level="warning", files=extra[:20], action=action)
        self._timeline.apply(ManifestRead(manifest, extra, self._threads))
        return manifest

    def begin_reading_files(self, manifest: Manifest) -> None:
        run_in_thread(self._read_files, manifest)

    def import_numpy(self, manifest: Manifest) -> None:
        if find_decoding_module(manifest):
            # A decoder's memory is limited, and each of OpenBLAS's threads takes 36 MiB of it.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "4")
        with self._timeline.importing("numpy"):
            importlib.import_module("numpy")

    def begin_decoder(self, manifest: Manifest) -> None:
        """Fork the process that reads the files of requests, if the model has a module ``decoding`` beside its ``model``. It
        imports that module while this process imports ONNX Runtime."""
        module = find_decoding_module(manifest)
        if module is None:
            return
        with self._timeline.phase("decoder"):
            from entrypoints.decoding.client import fork_template

            fork_template(module)

    def begin_verification(self, manifest: Manifest) -> None:
        """Unless ``PREBAKE_VERIFY`` is ``sizes``. It takes the interpreter's lock and a processor from imports, so that it
        begins after numpy's, with one thread."""
        if self._verify == "sizes":
            return
        self._verification = Verification(
            self._models, manifest, cryptographic=self._verify == "sha256", clock=self._timeline.now
        )
        self._verification_start = self._timeline.now()
        self._timeline.apply(PhaseStarted("verify", self._verification_start))
        self._verification.add_threads(1)

    def import_runtimes(self, manifest: Manifest) -> None:
        for module in list_runtimes(manifest):
            with self._timeline.importing(module):
                importlib.import_module(module)

    def begin_opening(self, manifest: Manifest) -> Components:
        strict = (self._fallback or manifest.fallback) == "error"
        self._opener = Opener(
            self._models,
            manifest,
            self._timeline,
            self._verification,
            strict=strict,
            memory_check=self._memory_check,
            prepacks=self.performs,
            budgets={place: size for place, size in self._budgets.items() if size},
            pinned=self._pinned,
            together=self._together,
        )
        self._opener.start(self._threads)
        self.components = self._opener.components
        return self.components

    def import_model(self, manifest: Manifest) -> Create:
        with self._timeline.importing(manifest.module):
            create: Create = importlib.import_module(manifest.module).create
        return create

    def speed_up_verification(self) -> None:
        """Imports are done: every processor may hash."""
        if self._verification is not None:
            self._verification.add_threads(self._threads - 1)

    def create_model(self, create: Create, components: Components) -> Model:
        with self._timeline.phase("create"):
            return create(components)

    def begin_work(self, manifest: Manifest, model: Model) -> None:
        """From now on requests are read, and wait for a worker."""
        self._worker.start(model)
        self.body_size = find_body_size(self._worker.fields, manifest.limits.body_bytes)
        self._timeline.apply(FieldsAccepted(self._worker.fields))

    def warm_up(self, manifest: Manifest, model: Model) -> None:
        """Raises WrongAnswer, ModelFault, ManifestFault, SilentRebuild, CompiledElsewhere, or what the model raises."""
        form = read_request(self._models, manifest)
        self.begin_work(manifest, model)
        with self._timeline.phase("warm-up"):
            answer = answer_request(self._worker, form)
        check_no_new_files(self._models, self._extra_files, manifest)
        if self._opener is not None:
            self._opener.check_compile_cache_used()
        with self._timeline.phase("compare"):
            expected = (self._models / manifest.warmup.answer).read_bytes()
            check_answer(answer, expected, manifest.warmup.media_type, manifest.warmup.tolerance)

    def wait_for_components(self) -> None:
        """Also for those that the warm-up request did not use. Raises what made one fail to open."""
        if self._opener is not None:
            self._opener.components.wait_until_open()

    def wait_for_verification(self) -> None:
        """Raises DamagedFile."""
        if self._verification is not None:
            self._verification.wait_for_required()
            self._timeline.end_phase("verify", self._verification_start, self._verification.ended)

    def become_ready(self, manifest: Manifest) -> None:
        if find_decoding_module(manifest):
            from entrypoints.decoding.client import expect_strangers

            expect_strangers()
        seconds = self._timeline.now()
        self._timeline.apply(Ready(seconds))
        gc.freeze()  # imported objects live as long as the process: no collection need look at them again
        gc.enable()
        rounded = round(seconds, 3)
        log_event("ready", name=manifest.name, seconds=rounded, threads=self._threads, address=self._address)

    def begin_verifying_unused_files(self) -> None:
        if self._verification is None or not self._verification.has_unused:
            return
        try:
            run_in_thread(self._verify_unused, self._verification)
        except RuntimeError as error:  # the model serves; what it needs no thread for must not end it
            self._timeline.notice(f"files that this container does not use are not verified: {error}")

    def measure_free_memory(self) -> None:
        """The budget of requests is known now that the model has what it needs. The server process has half of it, for bodies as
        they come; the models share the other half, for what bodies become."""
        from entrypoints.hardware.container_memory import find_request_memory

        self.memory.total = find_request_memory(self._request_memory) // (2 * self._models_of_image)

    def warm_buckets(self, manifest: Manifest) -> None:
        """Run those that the warm-up request did not use, smallest first, while requests are answered already."""
        assert self._opener is not None  # it has opened the components  # noqa: S101
        for component in manifest.components.values():
            if isinstance(component, OnnxComponent) and component.buckets:
                with self._opener.components.hold(component.name) as session:
                    warm_buckets(component.name, session, self._timeline)
        check_no_new_files(self._models, self._extra_files, manifest)

    def fail(self, error: BaseException) -> None:
        """Always ends in Failed, or with the process, even if the search for the cause fails: a start must never go on without
        an end."""
        fault = error if isinstance(error, Fault) else ModelFault(type(error).__name__)
        try:
            from entrypoints.model.start_faults import make_fault  # only faults need it

            fault = make_fault(self._find_first_error(error), on_device=self._runs_on_device())
            fault = self._find_damage(fault)
            fault = fault.for_model(self._model_name)
        except BaseException as other:
            log_exception(other, "search for the cause of a fault")
        try:
            log_fault(fault)
            self._timeline.apply(Failed(fault))
        except BaseException:  # no memory even for that: the server process notices that this one has ended
            finish(fault.exit_code)

    def _find_first_error(self, error: BaseException) -> BaseException:
        """A session that cannot open is reported before the model's code that waited for it."""
        found = self._opener.components.find_error() if self._opener is not None else None
        return error if found is None else found

    def _find_damage(self, fault: Fault) -> Fault:
        """The damaged file behind a session that cannot open, a wrong answer, or an error of the model's code."""
        if self.manifest is None or not isinstance(fault, (SessionFault, WrongAnswer, ModelFault)):
            return fault
        return find_root_cause(fault, self._verification or self._verify_used(self.manifest))

    def _verify_used(self, manifest: Manifest) -> Verification:
        """Compute the digests of the files that this start used, if it checked only their sizes."""
        verification = Verification(self._models, manifest)
        verification.require(self._opener.used_files if self._opener else ())
        verification.add_threads(1)
        return verification

    def _runs_on_device(self) -> bool:
        """Whether ONNX Runtime's own words for a failed allocation mean the device's memory."""
        return self.manifest is not None and self.manifest.target != "cpu"

    def _read_files(self, manifest: Manifest) -> None:
        with self._timeline.phase("read ahead"):
            read_ahead(self._models, manifest.components.values())

    def _read_libraries(self) -> None:
        with self._timeline.phase("read ahead libraries"):
            for folder in (Path(entry, name) for entry in sys.path for name in LIBRARY_FOLDERS):
                for library in folder.glob("*.so*"):
                    advise(library, [(0, 0)])

    def _verify_unused(self, verification: Verification) -> None:
        """Verify the files for other machines between requests. A later pull of this node may use a damaged file."""
        with self._timeline.phase("verify what is not used"):
            for problem in verification.verify_unused():
                self._timeline.notice(f"damaged, but this container does not use it: {problem}")


def find_decoding_module(manifest: Manifest) -> str | None:
    """The module beside the model's that reads the files of requests (``entrypoints.contract.decode_apart``)."""
    folder, _, _ = manifest.module.rpartition(".")
    path = os.path.join(*folder.split("."), "decoding.py")  # noqa: PTH118
    found = any(os.path.exists(os.path.join(entry, path)) for entry in sys.path)  # noqa: PTH110, PTH118
    return f"{folder}.decoding" if found else None


def list_runtimes(manifest: Manifest) -> list[str]:
    """The modules that components are opened with, in the order of their import: torch before the networks' module."""
    graphs = any(isinstance(component, OnnxComponent) for component in manifest.components.values())
    return [*(["onnxruntime"] if graphs else []), *(["torch", manifest.torch.module] if manifest.torch else [])]


def run_in_thread(function: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, name=function.__name__, daemon=True).start()
