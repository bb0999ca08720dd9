"""Components that torch serves: networks with the published weights, whose blocks are computed by compiled artifacts.

The candidates (``entrypoints.runtime.fallback``) are the artifacts, then the blocks as torch computes them. A fallback is
reported. So is a graph that torch compiles at start: that takes minutes, and the cause has to be visible.
"""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.errors import CompiledElsewhere, SessionFault
from entrypoints.files.verification import Verification, hash_file, make_buffer
from entrypoints.manifest.values import File, TorchArtifact, TorchComponent, TorchRuntime
from entrypoints.processes.events import ComponentOpened
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.fallback import Candidate, OpenFailed, Rejection, find_differences, open_first

if TYPE_CHECKING:
    from entrypoints.contract import Network
    from entrypoints.runtime.torch_network import TorchSession

EAGER = "eager"
"""The name of the last candidate: torch computes each block as it is, operation by operation."""


class TorchOpener:
    """Opens the components of one image. Call ``prepare`` first, then ``open`` from any thread."""

    def __init__(
        self,
        models: Path,
        runtime: TorchRuntime,
        files: Mapping[str, File],
        timeline: Timeline,
        verification: Verification | None,
        *,
        strict: bool = False,
    ) -> None:
        self._models = models
        self._runtime = runtime
        self._files = files
        self._timeline = timeline
        self._verification = verification
        self._strict = strict
        self._facts: Mapping[str, str] = {}
        self._cache_lock = threading.Lock()
        self._cached_components: list[str] = []
        self._differences: dict[str, str] = {}

    def prepare(self, threads: int, components: Iterable[TorchComponent]) -> None:
        """Raises SessionFault if torch does not find the device."""
        import torch

        if self._runtime.device == "cuda" and not torch.cuda.is_available():
            raise SessionFault("the image is for cuda, but torch finds no device: start the container with a GPU")
        torch.set_num_threads(threads)
        if any(component.artifacts for component in components):
            from entrypoints.runtime.compile_cache import find_torch_facts

            self._facts = find_torch_facts(self._runtime.device)
        elif self._runtime.compiled != "none":
            self._timeline.notice(
                "nothing is compiled for torch: blocks are computed operation by operation; "
                "run `prebake compile` on a machine with the device, then build the image again"
            )

    def open(self, component: TorchComponent, *, again: bool = False) -> TorchSession:
        """``again``: it was open before, so that nothing is reported.

        Raises SessionFault with every mismatch of configuration, weights and network; CompiledElsewhere if a fallback is not
        allowed; DamagedFile if an artifact is damaged and files are verified."""
        from entrypoints.runtime.torch_network import (
            NetworkFiles,
            NetworkMismatch,
            TorchSession,
            build_network,
            load_network,
        )

        build = importlib.import_module(self._runtime.module).build
        files = NetworkFiles(self._models, component.name, component.config, tuple(component.byte_ranges))
        try:
            network = build_network(build, files)
            module = load_network(network, files, self._runtime.device, component.precision)
        except NetworkMismatch as mismatch:
            raise SessionFault(mismatch.problems) from mismatch
        session = TorchSession(module, network.outputs, self._runtime.device)
        candidates = self._list_candidates(component, network, session)
        opened = open_first(component.name, candidates, strict=self._strict)
        if again:
            return session
        self._timeline.apply(ComponentOpened(component.name, opened.candidate.name))
        for fallback in opened.fallbacks:
            self._timeline.fall_back(*fallback)
        return session

    def _list_candidates(self, component: TorchComponent, network: Network, session: TorchSession) -> list[Candidate]:
        """The artifacts, best first, then the blocks as they are. Every candidate opens the same session."""

        def open_with(artifact: TorchArtifact) -> TorchSession:
            self._install(component.name, network, artifact)
            return session

        compiled = [
            Candidate(
                name=artifact.name,
                artifact=artifact,
                find_rejection=partial(self._find_rejection, artifact),
                open=partial(open_with, artifact),
            )
            for artifact in component.artifacts
        ]
        eager = Candidate(name=EAGER, artifact=None, find_rejection=lambda: None, open=lambda: session)
        return [*compiled, eager]

    def check_compile_cache_used(self) -> None:
        """Report, after the first inference, the calls and graphs that no artifact was used for.

        Raises CompiledElsewhere instead if a fallback is not allowed.
        """
        if self._cached_components:
            from entrypoints.runtime.compile_cache import count_cache_hits

            hits, compiled = count_cache_hits()
            if compiled or not hits:
                self._report_rebuilt(f"{hits} graphs came from the compile cache, {compiled} were compiled again")
        if self._strict:
            for name, detail in self._differences.items():
                raise CompiledElsewhere(f"{name}: aot: {detail}")

    def _report_rebuilt(self, detail: str) -> None:
        names = ", ".join(self._cached_components)
        if self._strict:
            raise CompiledElsewhere(f"{names}: compile-cache: {detail}")
        self._timeline.fall_back(names, "compile-cache", "compile", "rebuilt", detail)

    def _find_rejection(self, artifact: TorchArtifact) -> Rejection | None:
        differences = find_differences(artifact.requires, artifact.minimum, self._facts)
        return Rejection(artifact.name, "field", "; ".join(differences)) if differences else None

    def _install(self, name: str, network: Network, artifact: TorchArtifact) -> None:
        """Have torch compute the network's blocks by the artifact's code. Raises OpenFailed.

        Artifacts are verified even if verification is off: they contain executable code, and a cache is pickled in parts.
        """
        if damage := self._find_damage(artifact.files):
            raise OpenFailed(damage)
        if artifact.libraries:
            self._install_libraries(name, network, artifact)
        else:
            self._read_cache(name, network, artifact.cache)

    def _install_libraries(self, name: str, network: Network, artifact: TorchArtifact) -> None:
        """The image's own files are opened: nothing is copied or unpacked."""
        from entrypoints.runtime.aotinductor import LibraryMismatch, install_libraries

        chosen = {index: self._models / library.folder for library in artifact.libraries for index in library.blocks}
        try:
            install_libraries(network.blocks, chosen, self._runtime.device, self._report_input(name))
        except (LibraryMismatch, IndexError) as mismatch:
            raise OpenFailed(str(mismatch)) from mismatch

    def _read_cache(self, name: str, network: Network, path: str) -> None:
        from entrypoints.runtime.compile_cache import compile_blocks, load_cache

        with self._timeline.phase(f"load compile cache of {name}"), self._cache_lock:
            try:
                if not load_cache((self._models / path).read_bytes()):
                    raise OpenFailed(f"torch cannot read {path}")
            except OSError as error:
                raise OpenFailed(f"torch cannot unpack {path}: {error}") from error
            self._cached_components.append(name)
        compile_blocks(network.blocks)

    def _report_input(self, name: str) -> Callable[[str], None]:
        """A function that reports the first call of a component that no library was compiled for, and no later one."""

        def report(difference: str) -> None:
            if name not in self._differences:
                self._differences[name] = difference
                self._timeline.fall_back(name, "aot", EAGER, "input", difference)

        return report

    def _find_damage(self, files: Iterable[str]) -> str:
        """What is wrong with the first damaged file; empty if none is. If files are verified, raises DamagedFile instead."""
        for file in files:
            if self._verification is not None:
                self._verification.wait_for(file)
            elif hash_file(self._models / file, make_buffer(), hashlib.sha256()) != self._files[file].sha256:
                return f"{file}: corrupt"
        return ""
