"""Components that torch serves: opened from the published weights, their blocks computed by what was compiled at bake time.

The ladder (``entrypoints.ladder``) has two rungs here: what was baked, then the blocks as they are. A step down is told, and
so is whatever is compiled anew: that takes minutes, and who waits for it has to be able to see why.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.faults import CompiledElsewhere, SessionFault
from entrypoints.integrity import hash_file, make_buffer
from entrypoints.ladder import Miss, find_differences
from entrypoints.manifest import File, TorchComponent, TorchRuntime
from entrypoints.timeline import Timeline
from entrypoints.verification import Verification

if TYPE_CHECKING:
    from entrypoints.contract import Network
    from entrypoints.networks import NetworkSession

EAGER = "eager"
"""The last rung: each block as it is, operation by operation."""


class TorchOpener:
    """Opens the components of one image, each in a thread of the caller's. ``prepare`` comes first."""

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
        self._miss: Miss | None = None
        self._cached: list[str] = []
        self._strange: dict[str, str] = {}

    def prepare(self, threads: int) -> None:
        """Raises SessionFault where the device is not there, DamagedFile where what was compiled is not as it was baked."""
        import torch

        if self._runtime.device == "cuda" and not torch.cuda.is_available():
            raise SessionFault("the image is for cuda, and torch finds no device: start the container with a GPU")
        torch.set_num_threads(threads)
        if self._runtime.reason:
            self._timeline.notice(
                f"{'not all' if self._runtime.form else 'nothing'} is compiled: {self._runtime.reason}"
            )
        if self._runtime.form:
            self._miss = self._find_difference() or self._read_cache()

    def open(self, component: TorchComponent) -> NetworkSession:
        """Raises SessionFault with everything that does not fit: configuration, weights, network; CompiledElsewhere where a
        step down is not allowed."""
        from entrypoints.networks import Misfit, NetworkSession, Parts, build_network, load_network

        build = importlib.import_module(self._runtime.module).build
        parts = Parts(self._models, component.name, component.config, tuple(component.reads))
        try:
            network = build_network(build, parts)
            module = load_network(network, parts, self._runtime.device, component.precision)
        except Misfit as misfit:
            raise SessionFault(misfit.problems) from misfit
        self._timeline.note_opened(component.name, self._climb_down(component.name, network))
        return NetworkSession(module, network.outputs, self._runtime.device)

    def tell_compiled(self) -> None:
        """After the first inference: was what was baked used for all of it? Raises CompiledElsewhere where it had to be."""
        if self._cached:
            from entrypoints.compiled import count_compiled

            found, made = count_compiled()
            if made or not found:
                detail = f"the compile cache gave {found} graphs, {made} were compiled anew"
                self._step_down(", ".join(self._cached), Miss("compile-cache", "rebuilt", detail), "compile")
        if self._strict:
            for name, detail in self._strange.items():
                raise CompiledElsewhere(f"{name}: aot: {detail}")

    def _climb_down(self, name: str, network: Network) -> str:
        """The rung that computes the component's blocks."""
        form = self._runtime.form
        if not form or not network.blocks or (form == "aot" and name not in self._runtime.libraries):
            return EAGER
        miss = self._miss or (self._install(name, network) if form == "aot" else None)
        if miss is not None:
            self._step_down(name, miss, EAGER)
            return EAGER
        if form == "compile-cache":
            self._compile(name, network)
        return form

    def _step_down(self, name: str, miss: Miss, taken: str) -> None:
        if self._strict:
            raise CompiledElsewhere(f"{name}: {miss.rung}: {miss.detail}")
        self._timeline.fall_back(name, miss.rung, taken, miss.reason, miss.detail)

    def _install(self, name: str, network: Network) -> Miss | None:
        """The libraries, opened where they lie. What they are is looked at even where the other files are not: code that is
        not as it was baked may do anything."""
        from entrypoints.ahead import Unfit, install

        own = self._runtime.libraries[name]
        damage = self._find_damage(file for library in own for file in library.files)
        if damage:
            return Miss("aot", "open", damage)
        chosen = {index: self._models / library.folder for library in own for index in library.blocks}
        try:
            install(network.blocks, chosen, self._runtime.device, self._teller(name))
        except (Unfit, IndexError) as unfit:
            return Miss("aot", "open", str(unfit))
        return None

    def _compile(self, name: str, network: Network) -> None:
        from entrypoints.compiled import compile_blocks

        compile_blocks(network.blocks)
        self._cached.append(name)

    def _teller(self, name: str) -> Callable[[str], None]:
        """Tells the first call of a component that no library was compiled for: the others would be many."""

        def tell(difference: str) -> None:
            if name not in self._strange:
                self._strange[name] = difference
                self._timeline.fall_back(name, "aot", EAGER, "input", difference)

        return tell

    def _find_difference(self) -> Miss | None:
        from entrypoints.compiled import describe_machine

        differences = find_differences(self._runtime.fields, {}, describe_machine(self._runtime.device))
        return Miss(self._runtime.form, "field", "; ".join(differences)) if differences else None

    def _read_cache(self) -> Miss | None:
        """It is pickled in parts: what is not as it was baked is not read."""
        path = self._runtime.cache
        if not path or self._runtime.form != "compile-cache":
            return None
        from entrypoints.compiled import load_cache

        with self._timeline.phase("load compile cache"):
            damage = self._find_damage([path])
            try:
                problem = damage or (
                    "" if load_cache((self._models / path).read_bytes()) else f"torch cannot read {path}"
                )
            except OSError as error:
                problem = f"torch cannot unpack {path}: {error}"
        return Miss("compile-cache", "open", problem) if problem else None

    def _find_damage(self, files: Iterable[str]) -> str:
        """Raises DamagedFile where every file is looked at anyway; else these are, here."""
        for file in files:
            if self._verification is not None:
                self._verification.wait_for(file)
            elif hash_file(self._models / file, make_buffer(), hashlib.sha256()) != self._files[file].sha256:
                return f"{file}: corrupt"
        return ""
