"""The manifest's components, opened side by side, handed out as they become ready: ONNX Runtime's sessions, or torch's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.checks import suggest
from entrypoints.contract import Session
from entrypoints.device_memory import check_memory
from entrypoints.faults import Fault, SessionFault
from entrypoints.ladder import Fallback, Rung, climb_down, find_miss, rungs_of, without_compiled
from entrypoints.machine import find_facts
from entrypoints.manifest import Component, Manifest, TorchComponent
from entrypoints.reading_ahead import advise, advise_reads
from entrypoints.sessions import GraphSession, available_providers, open_rung, share_arena
from entrypoints.shapes import Buckets
from entrypoints.timeline import Timeline
from entrypoints.torch_runtime import TorchOpener
from entrypoints.verification import Verification, find_conditional

if TYPE_CHECKING:
    from entrypoints.gpu import Memory


class OpenComponents:
    """The image's components for the model: sessions as futures, files by their manifest path."""

    def __init__(self, models: Path, manifest: Manifest, vouch: Callable[[str], None]) -> None:
        """``vouch`` is called with a file before its path is handed out."""
        self._models = models
        self._manifest = manifest
        self._vouch = vouch
        self.sessions: dict[str, Future[Session]] = {name: Future() for name in manifest.components}

    def session(self, name: str) -> Session:
        """Waits until it is open. Raises KeyError for an unknown name, SessionFault where it cannot open."""
        if name not in self.sessions:
            raise KeyError(f"the manifest has no component {name!r}{suggest(name, list(self.sessions))}")
        return self.sessions[name].result()

    def path(self, name: str) -> Path:
        place = self._manifest.place(name)
        if place not in self._manifest.files:
            raise KeyError(f"the manifest has no file {name!r}{suggest(name, list(self._manifest.files))}")
        self._vouch(place)
        return self._models / place


class Opener:
    """Opens every component in a thread of its own: creating a session is ONNX Runtime's work, not Python's."""

    def __init__(
        self,
        models: Path,
        manifest: Manifest,
        timeline: Timeline,
        verification: Verification | None,
        *,
        strict: bool = False,
    ) -> None:
        """``strict``: end rather than take another way than the best (``entrypoints.ladder``)."""
        self._models = models
        self._manifest = manifest
        self._strict = strict
        self._timeline = timeline
        self._verification = verification
        self._conditional = find_conditional(manifest)
        self.components = OpenComponents(models, manifest, self._vouch)
        self.used: set[str] = set()
        """The files of compiled forms, and of what they stand in for, that something here reads."""
        self._torch: TorchOpener | None = None
        if manifest.torch:
            self._torch = TorchOpener(models, manifest.torch, manifest.files, timeline, verification, strict=strict)

    def start(self, threads: int) -> None:
        """Each session computes with ``threads`` threads of its own."""
        # Starting a thread waits for its first steps: one is enough for the caller, who imports meanwhile.
        threading.Thread(target=self._open_all, args=(threads,), name="open", daemon=True).start()

    def _open_all(self, threads: int) -> None:
        try:
            self._prepare(threads)
        except Exception as error:
            fault = error if isinstance(error, Fault) else SessionFault(f"{type(error).__name__}: {error}")
            for future in self.components.sessions.values():
                future.set_exception(fault)
            return
        for component in self._manifest.components.values():
            name = f"open-{component.name}"
            threading.Thread(target=self._open, args=(component, threads), name=name, daemon=True).start()

    def _prepare(self, threads: int) -> None:
        check_memory(self._manifest.components.values(), available_providers, find_memory)
        if any(isinstance(component, Component) for component in self._manifest.components.values()):
            try:
                share_arena()
            except Exception as error:
                raise SessionFault(f"ONNX Runtime gives no memory arena: {error}") from error
        if self._torch is not None:
            components = self._manifest.components.values()
            self._torch.prepare(threads, [each for each in components if isinstance(each, TorchComponent)])

    def tell_compiled(self) -> None:
        """After the first inference: what torch had to compile, though a cache was baked."""
        if self._torch is not None:
            self._torch.tell_compiled()

    def _open(self, component: Component | TorchComponent, threads: int) -> None:
        future = self.components.sessions[component.name]
        try:
            if component.first not in self._conditional:
                self._wait_for(component.first)
            with self._timeline.phase(f"open {component.name}"):
                future.set_result(self._opened(component, threads))
        except Fault as fault:
            future.set_exception(fault)
        except Exception as error:
            future.set_exception(SessionFault(f"{component.name}: {type(error).__name__}: {error}"))

    def _wait_for(self, *files: str) -> None:
        """A corrupt graph may crash its parser."""
        if self._verification is not None:
            self._verification.wait_for(*files)

    def _vouch(self, file: str) -> None:
        """Files that every start reads are checked until it is ready, the others before they are read."""
        if file in self._conditional:
            self.used.add(file)
            self._wait_for(file)

    def _opened(self, component: Component | TorchComponent, threads: int) -> Session:
        if isinstance(component, TorchComponent):
            assert self._torch is not None  # which reading the manifest made sure of  # noqa: S101
            return self._torch.open(component)
        (session, rung), name, steps = self._climb_down(component, threads)
        self._timeline.note_opened(component.name, name)
        for step in steps:
            self._timeline.fall_back(*step)
        if component.buckets is None:
            return session
        portable = without_compiled(component)
        graph = cache(lambda: self._climb_down(portable, threads, serving=True)[0][0])
        return self._bucketed(component, component.buckets, session, rung.takes, graph)

    def _climb_down(
        self, component: Component, threads: int, *, serving: bool = False
    ) -> tuple[tuple[Session, Rung], str, list[Fallback]]:
        """``serving``: ready already, so that no file may be read any more before it was checked."""
        return climb_down(
            component.name,
            list(rungs_of(component)),
            lambda rung: find_miss(rung, find_facts, available_providers),
            lambda rung: (self._open_rung(rung, component, threads, serving=serving), rung),
            strict=self._strict,
        )

    def _bucketed(
        self, component: Component, buckets: Buckets, session: Session, takes: str, graph: Callable[[], Session]
    ) -> Session:
        """``graph`` opens what takes any shape, once that is needed."""
        from entrypoints.buckets import Bucketing, BucketSession  # of what most images have no use for

        tensors = (
            {name: tensor.shape or () for name, tensor in each.items()}
            for each in (component.inputs, component.outputs)
        )
        count = partial(self._timeline.show_run, component.name)
        compiles = not (isinstance(session, GraphSession) and session.by_processor)
        return BucketSession(session, Bucketing(buckets, *tensors), graph, count, takes=takes, compiles=compiles)

    def _open_rung(self, rung: Rung, component: Component, threads: int, *, serving: bool) -> Session:
        """Weights of a graph need be right only until ready."""
        self._read(rung)
        self._wait_for(*([rung.graph, *rung.reads] if serving else rung.files))
        return open_rung(self._models, component, rung, threads)

    def _read(self, rung: Rung) -> None:
        """What no other way reads is asked for only now."""
        files = self._conditional.intersection([rung.graph, *rung.reads])
        if not files:
            return
        self.used |= files
        advise(self._models / rung.graph, [(0, 0)])
        advise_reads(self._models, rung.reads)
        if self._verification is not None:
            self._verification.need(files)


def find_memory() -> Memory:
    from entrypoints.gpu import Driver

    return Driver().memory()
