"""Components that torch serves: opened from the published weights, their blocks computed by what was compiled ahead.

The ladder (``entrypoints.ladder``) has what was compiled for this kind of machine, then the blocks as they are. A step down is
told, and so is whatever is compiled anew: that takes minutes, and who waits for it has to be able to see why.
"""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from entrypoints.faults import CompiledElsewhere, SessionFault
from entrypoints.integrity import hash_file, make_buffer
from entrypoints.ladder import Miss, Unopened, climb_down, find_differences
from entrypoints.manifest import File, NetworkArtifact, TorchComponent, TorchRuntime
from entrypoints.timeline import Timeline
from entrypoints.verification import Verification

if TYPE_CHECKING:
    from entrypoints.contract import Network
    from entrypoints.networks import NetworkSession

EAGER = "eager"
"""The last rung: each block as it is, operation by operation."""


class Eager(NamedTuple):
    name: str = EAGER


Rung = NetworkArtifact | Eager


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
        self._facts: Mapping[str, str] = {}
        self._caches = threading.Lock()
        self._cached: list[str] = []
        self._strange: dict[str, str] = {}

    def prepare(self, threads: int, components: Iterable[TorchComponent]) -> None:
        """Raises SessionFault where the device is not there."""
        import torch

        if self._runtime.device == "cuda" and not torch.cuda.is_available():
            raise SessionFault("the image is for cuda, and torch finds no device: start the container with a GPU")
        torch.set_num_threads(threads)
        if any(component.artifacts for component in components):
            from entrypoints.compiled import describe_machine

            self._facts = describe_machine(self._runtime.device)
        elif self._runtime.compiled != "none":
            self._timeline.notice(
                "nothing is compiled for torch: blocks are computed operation by operation; "
                "`prebake compile` makes what a start opens, where the device is"
            )

    def open(self, component: TorchComponent) -> NetworkSession:
        """Raises SessionFault with everything that does not fit: configuration, weights, network; CompiledElsewhere where a
        step down is not allowed; DamagedFile where what was compiled is not as it was baked, and every file is looked at."""
        from entrypoints.networks import Misfit, NetworkSession, Parts, build_network, load_network

        build = importlib.import_module(self._runtime.module).build
        parts = Parts(self._models, component.name, component.config, tuple(component.reads))
        try:
            network = build_network(build, parts)
            module = load_network(network, parts, self._runtime.device, component.precision)
        except Misfit as misfit:
            raise SessionFault(misfit.problems) from misfit
        ways: list[Rung] = [*component.artifacts, Eager()]
        _, rung, steps = climb_down(
            component.name,
            ways,
            self._find_miss,
            lambda way: self._take(component.name, network, way),
            strict=self._strict,
        )
        self._timeline.note_opened(component.name, rung)
        for step in steps:
            self._timeline.fall_back(*step)
        return NetworkSession(module, network.outputs, self._runtime.device)

    def tell_compiled(self) -> None:
        """After the first inference: was what was baked used for all of it? Raises CompiledElsewhere where it had to be."""
        if self._cached:
            from entrypoints.compiled import count_compiled

            found, made = count_compiled()
            if made or not found:
                self._tell_rebuilt(f"the compile cache gave {found} graphs, {made} were compiled anew")
        if self._strict:
            for name, detail in self._strange.items():
                raise CompiledElsewhere(f"{name}: aot: {detail}")

    def _tell_rebuilt(self, detail: str) -> None:
        names = ", ".join(self._cached)
        if self._strict:
            raise CompiledElsewhere(f"{names}: compile-cache: {detail}")
        self._timeline.fall_back(names, "compile-cache", "compile", "rebuilt", detail)

    def _find_miss(self, way: Rung) -> Miss | None:
        if isinstance(way, Eager):
            return None
        differences = find_differences(way.fields, way.least, self._facts)
        return Miss(way.rung, "field", "; ".join(differences)) if differences else None

    def _take(self, name: str, network: Network, way: Rung) -> None:
        """Have the blocks computed so. What was compiled is looked at even where the other files are not: code that is not as
        it was baked may do anything, and a cache is pickled in parts. Raises Unopened."""
        if isinstance(way, Eager):
            return
        if damage := self._find_damage(way.files):
            raise Unopened(damage)
        if way.libraries:
            self._install(name, network, way)
        else:
            self._read_cache(name, network, way.cache)

    def _install(self, name: str, network: Network, way: NetworkArtifact) -> None:
        """The libraries, opened where they lie."""
        from entrypoints.ahead import Unfit, install

        chosen = {index: self._models / library.folder for library in way.libraries for index in library.blocks}
        try:
            install(network.blocks, chosen, self._runtime.device, self._teller(name))
        except (Unfit, IndexError) as unfit:
            raise Unopened(str(unfit)) from unfit

    def _read_cache(self, name: str, network: Network, path: str) -> None:
        from entrypoints.compiled import compile_blocks, load_cache

        with self._timeline.phase(f"load compile cache of {name}"), self._caches:
            try:
                if not load_cache((self._models / path).read_bytes()):
                    raise Unopened(f"torch cannot read {path}")
            except OSError as error:
                raise Unopened(f"torch cannot unpack {path}: {error}") from error
            self._cached.append(name)
        compile_blocks(network.blocks)

    def _teller(self, name: str) -> Callable[[str], None]:
        """Tells the first call of a component that no library was compiled for: the others would be many."""

        def tell(difference: str) -> None:
            if name not in self._strange:
                self._strange[name] = difference
                self._timeline.fall_back(name, "aot", EAGER, "input", difference)

        return tell

    def _find_damage(self, files: Iterable[str]) -> str:
        """Raises DamagedFile where every file is looked at anyway; else these are, here."""
        for file in files:
            if self._verification is not None:
                self._verification.wait_for(file)
            elif hash_file(self._models / file, make_buffer(), hashlib.sha256()) != self._files[file].sha256:
                return f"{file}: corrupt"
        return ""
