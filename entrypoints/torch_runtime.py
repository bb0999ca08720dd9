"""Components that torch serves: opened from the published weights, their blocks compiled from what was baked.

Whatever is not as it was baked is told (``Timeline.notice``): a start that compiles anew takes minutes, and who waits for it
has to be able to see why.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.faults import SessionFault
from entrypoints.integrity import Verification
from entrypoints.manifest import TorchComponent, TorchRuntime
from entrypoints.timeline import Timeline

if TYPE_CHECKING:
    from entrypoints.networks import NetworkSession


class TorchOpener:
    """Opens the components of one image, each in a thread of the caller's. ``prepare`` comes first."""

    def __init__(
        self, models: Path, runtime: TorchRuntime, timeline: Timeline, verification: Verification | None
    ) -> None:
        self._models = models
        self._runtime = runtime
        self._timeline = timeline
        self._verification = verification
        self._compiled = False

    def prepare(self, threads: int) -> None:
        """Raises SessionFault where the device is not there."""
        import torch

        if self._runtime.device == "cuda" and not torch.cuda.is_available():
            raise SessionFault("the image is for cuda, and torch finds no device: start the container with a GPU")
        torch.set_num_threads(threads)
        if self._runtime.cache:
            with self._timeline.phase("load compile cache"):
                self._compiled = self._load_cache(self._runtime.cache)
        elif self._runtime.reason:
            self._timeline.notice(f"nothing is compiled: {self._runtime.reason}")

    def open(self, component: TorchComponent) -> NetworkSession:
        """Raises SessionFault with everything that does not fit: configuration, weights, network."""
        from entrypoints.compiled import compile_blocks
        from entrypoints.networks import Misfit, NetworkSession, Parts, build_network, load_network

        build = importlib.import_module(self._runtime.module).build
        parts = Parts(self._models, component.name, component.config, tuple(component.reads))
        try:
            network = build_network(build, parts)
            module = load_network(network, parts, self._runtime.device, component.precision)
        except Misfit as misfit:
            raise SessionFault(misfit.problems) from misfit
        if self._compiled:
            compile_blocks(network.blocks)
        return NetworkSession(module, network.outputs, self._runtime.device)

    def tell_compiled(self) -> None:
        """After the first inference: was the cache used for all of it?"""
        if not self._compiled:
            return
        from entrypoints.compiled import count_compiled

        found, made = count_compiled()
        if made or not found:
            self._timeline.notice(f"the compile cache gave {found} graphs, {made} were compiled anew")

    def _load_cache(self, path: str) -> bool:
        from entrypoints.compiled import describe_machine, find_differences, load_cache

        differences = find_differences(self._runtime.fields, describe_machine(self._runtime.device))
        if differences:
            self._timeline.notice(f"nothing is compiled, the compile cache is for another machine: {differences}")
            return False
        if self._verification is not None:
            self._verification.wait_for(path)  # it is pickled in parts
        try:
            read = load_cache((self._models / path).read_bytes())
        except OSError as error:
            self._timeline.notice(f"nothing is compiled, torch cannot unpack {path}: {error}")
            return False
        if not read:
            self._timeline.notice(f"nothing is compiled, torch cannot read {path}")
        return read
