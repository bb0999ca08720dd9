"""The manifest's components, opened in parallel: sessions of ONNX Runtime, or networks in torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.contract import Session
from entrypoints.errors import Fault, MemoryLimitTooLow, SessionFault
from entrypoints.files.readahead import advise, advise_reads
from entrypoints.files.verification import Verification, find_conditional_files
from entrypoints.hardware.container_memory import ContainerMemory
from entrypoints.hardware.memory import check_memory
from entrypoints.hardware.providers import CPU, list_available_providers
from entrypoints.manifest.shape_buckets import ACCEPTS_ANY
from entrypoints.manifest.values import Artifact, Manifest, OnnxComponent, TorchComponent
from entrypoints.processes.events import BucketRun, ComponentOpened
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.fallback import (
    Opened,
    list_candidates,
    list_files_to_verify_first,
    open_first,
    without_artifacts,
)
from entrypoints.runtime.onnx_session import OnnxSession, open_artifact
from entrypoints.runtime.session_options import find_arena_limit, share_arena
from entrypoints.runtime.torch_components import TorchOpener
from entrypoints.suggestion import suggest

if TYPE_CHECKING:
    from entrypoints.components.budgets import Budget
    from entrypoints.components.resident_components import ResidentComponents
    from entrypoints.hardware.nvidia import DeviceMemory


class OpenComponents:
    """The `Components` of the model: sessions, and files by their manifest path."""

    def __init__(self, models: Path, manifest: Manifest, verify: Callable[[str], None]) -> None:
        """``verify`` is called with a file before its path is returned."""
        self._models = models
        self._manifest = manifest
        self._verify = verify
        self.sessions: dict[str, Future[Session]] = {name: Future() for name in manifest.components}

    def session(self, name: str) -> Session:
        """Waits until it is open. Raises KeyError for an unknown name, SessionFault if it cannot be opened."""
        if name not in self.sessions:
            raise KeyError(f"the manifest has no component {name!r}{suggest(name, list(self.sessions))}")
        return self.sessions[name].result()

    @contextmanager
    def hold(self, name: str) -> Iterator[Session]:
        """The open session; waits until it is open. Raises as ``session``."""
        yield self.session(name)

    def wait_until_open(self) -> None:
        """Also for those that no request used. Raises what made one fail to open."""
        for session in self.sessions.values():
            session.result()

    def find_error(self) -> BaseException | None:
        """The exception of the first component that failed to open; None if none has failed by now."""
        failed = (future.exception() for future in self.sessions.values() if future.done())
        return next((error for error in failed if error is not None), None)

    def path(self, name: str) -> Path:
        place = self._manifest.place(name)
        if place not in self._manifest.files:
            raise KeyError(f"the manifest has no file {name!r}{suggest(name, list(self._manifest.files))}")
        self._verify(place)
        return self._models / place


class Opener:
    """Opens every component in a thread of its own: ONNX Runtime creates sessions without the interpreter's lock."""

    def __init__(
        self,
        models: Path,
        manifest: Manifest,
        timeline: Timeline,
        verification: Verification | None,
        *,
        strict: bool = False,
        memory_check: str = "error",
        prepacks: bool = False,
        budgets: Mapping[str, int] = {},
        pinned: Collection[str] = (),
        together: Collection[str] | None = None,
    ) -> None:
        """``strict``: a fallback ends the start (``entrypoints.runtime.fallback``). ``memory_check``: ``warn`` if the start
        goes on with a memory limit that cannot hold the weights. ``prepacks``: graphs on a CPU get copies of their weights in the
        layout of its kernels, whatever the manifest says. ``budgets``: bytes by kind of memory, and ``pinned`` the
        components that stay open, as of ``entrypoints.components.budgets``. ``together``: the models of the image that the
        memory limit has to hold at once; None: all."""
        self._models = models
        self._manifest = manifest
        self._strict, self._memory_check = strict, memory_check
        self._timeline = timeline
        self._verification = verification
        self._conditional = find_conditional_files(manifest)
        self._prepacks = prepacks
        self._budgets = budgets
        self._pinned, self._together = pinned, together
        self._open_components = OpenComponents(models, manifest, self._verify)
        self.components: OpenComponents | ResidentComponents = self._open_components
        self.used_files: set[str] = set()
        """The conditional files that this start reads."""
        self._torch: TorchOpener | None = None
        if manifest.torch:
            self._torch = TorchOpener(models, manifest.torch, manifest.files, timeline, verification, strict=strict)

    def start(self, threads: int) -> None:
        """Each session computes with ``threads`` threads of its own. Raises MemoryLimitTooLow if a component is larger
        than its budget."""
        if self._budgets and (exceeded := self._find_exceeded()):
            self._start_within(exceeded, threads)
            return
        # Starting a thread waits for its first steps, so that the caller, which imports meanwhile, starts only one.
        threading.Thread(target=self._open_all, args=(threads,), name="open", daemon=True).start()

    def _open_all(self, threads: int) -> None:
        try:
            self._prepare(threads)
            for component in self._manifest.components.values():
                name = f"open-{component.name}"
                threading.Thread(target=self._open, args=(component, threads), name=name, daemon=True).start()
        except BaseException as error:  # whatever it is: the start waits for these futures
            for future in self._open_components.sessions.values():
                with suppress(InvalidStateError):  # a thread that was started sets it as well
                    future.set_exception(make_fault(error))

    def _find_exceeded(self) -> Sequence[Budget]:
        from entrypoints.components.budgets import find_exceeded  # late: most containers have no budget

        return find_exceeded(self._manifest, self._budgets, self._pinned, list_available_providers)

    def _start_within(self, budgets: Sequence[Budget], threads: int) -> None:
        """The components do not fit into memory at once: each is opened when it is needed, and makes room for others."""
        from entrypoints.components.resident_components import (
            ResidentComponents,  # late: most containers have no budget
        )

        prepared: Future[None] = Future()

        def open_component(name: str, again: bool) -> Session:
            prepared.result()
            return self._open_one(self._manifest.components[name], threads, again=again)

        components = self.components = ResidentComponents(
            self._manifest.components, budgets, open_component, self._open_components.path, self._timeline, self._pinned
        )

        def open_all() -> None:
            try:
                self._prepare(threads, at_once=False)
                prepared.set_result(None)
            except BaseException as error:  # the start waits for it
                prepared.set_exception(make_fault(error))
            components.open_ahead()

        threading.Thread(target=open_all, name="open", daemon=True).start()

    def _prepare(self, threads: int, *, at_once: bool = True) -> None:
        """``at_once``: all components are open at the same time."""
        memory = ContainerMemory()
        if at_once:
            self._check_limit(memory)
            check_memory(self._manifest.components.values(), list_available_providers, find_memory)
        if any(isinstance(component, OnnxComponent) for component in self._manifest.components.values()):
            try:
                share_arena(find_arena_limit(memory))
            except Exception as error:
                raise SessionFault(f"ONNX Runtime cannot create its memory arena: {error}") from error
        if self._torch is not None:
            components = self._manifest.components.values()
            self._torch.prepare(threads, [item for item in components if isinstance(item, TorchComponent)])

    def _check_limit(self, memory: ContainerMemory) -> None:
        from entrypoints.hardware.memory_limit import check_limit  # here, beside the imports of the start

        try:
            check_limit(self._models, self._manifest, memory, self._together)
        except MemoryLimitTooLow as fault:
            if self._memory_check != "warn":
                raise
            self._timeline.notice(fault.reason)

    def check_compile_cache_used(self) -> None:
        """After the first inference. Reports graphs that torch compiled although a compile cache was baked; raises
        CompiledElsewhere if ``strict``."""
        if self._torch is not None:
            self._torch.check_compile_cache_used()

    def _open(self, component: OnnxComponent | TorchComponent, threads: int) -> None:
        future = self._open_components.sessions[component.name]
        try:
            session = self._open_one(component, threads)
            with suppress(InvalidStateError):  # another component's thread could not be started
                future.set_result(session)
        except BaseException as error:
            with suppress(InvalidStateError):
                future.set_exception(error)

    def _open_one(self, component: OnnxComponent | TorchComponent, threads: int, *, again: bool = False) -> Session:
        """``again``: it was open before, and the start's record has it. Raises a Fault that names the component."""
        try:
            if component.main_file not in self._conditional:
                self._wait_for(component.main_file)
            if again:
                return self._open_component(component, threads, again=True)
            with self._timeline.phase(f"open {component.name}"):
                return self._open_component(component, threads)
        except BaseException as error:
            raise make_fault(error, f"{component.name}: ") from error

    def _wait_for(self, *files: str) -> None:
        """Until the files are verified: a corrupt graph may crash its parser."""
        if self._verification is not None:
            self._verification.wait_for(*files)

    def _verify(self, file: str) -> None:
        """Conditional files are verified before they are read, the others by the time the start is ready."""
        if file in self._conditional:
            self.used_files.add(file)
            self._wait_for(file)

    def _open_component(
        self, component: OnnxComponent | TorchComponent, threads: int, *, again: bool = False
    ) -> Session:
        if isinstance(component, TorchComponent):
            assert self._torch is not None  # the manifest has it if it has such a component  # noqa: S101
            return self._torch.open(component, again=again)
        opened = self._open_first(component, threads, serving=again)
        if not again:
            self._timeline.apply(ComponentOpened(component.name, opened.candidate.name))
            for fallback in opened.fallbacks:
                self._timeline.fall_back(*fallback)
        if component.buckets is None:
            return opened.session
        portable = without_artifacts(component)
        graph = cache(lambda: self._open_first(portable, threads, serving=True).session)
        artifact = opened.candidate.artifact
        accepts = artifact.accepts if isinstance(artifact, Artifact) else ACCEPTS_ANY
        from entrypoints.runtime.bucket_session import wrap_in_buckets  # late: most images have no buckets

        def count_run(bucket: str) -> None:
            self._timeline.apply(BucketRun(component.name, bucket))

        compiles = not (isinstance(opened.session, OnnxSession) and opened.session.runs_on_cpu)
        return wrap_in_buckets(component, opened.session, graph, count_run, accepts=accepts, compiles=compiles)

    def _open_first(self, component: OnnxComponent, threads: int, *, serving: bool = False) -> Opened:
        """``serving``: the model is ready, so that every file has to be verified before it is read."""

        def open_one(artifact: Artifact) -> Session:
            return self._open_artifact(artifact, component, threads, serving=serving)

        return open_first(component.name, list_candidates(component, open_one), strict=self._strict)

    def _open_artifact(self, artifact: Artifact, component: OnnxComponent, threads: int, *, serving: bool) -> Session:
        """Before ready, weights may be verified after the session is open: ready waits for them."""
        if self._prepacks and artifact.providers[0] == CPU:
            artifact = artifact._replace(session=artifact.session._replace(prepack=True))
        self._read_ahead(artifact)
        self._wait_for(*(artifact.files if serving else list_files_to_verify_first(artifact)))
        return open_artifact(self._models, component, artifact, threads)

    def _read_ahead(self, artifact: Artifact) -> None:
        """Conditional files are read ahead and verified only if they are opened."""
        files = self._conditional.intersection(artifact.files)
        if not files:
            return
        self.used_files |= files
        advise(self._models / artifact.graph, [(0, 0)])
        advise_reads(self._models, artifact.byte_ranges)
        if self._verification is not None:
            self._verification.require(files)


def make_fault(error: BaseException, where: str = "") -> Fault:
    """``error`` as its cause, which says whether memory was short, or a thread was refused."""
    if isinstance(error, Fault):
        return error
    fault = SessionFault(f"{where}{type(error).__name__}: {error}")
    fault.__cause__ = error
    return fault


def find_memory() -> DeviceMemory:
    from entrypoints.hardware.nvidia import Driver

    return Driver().memory()
