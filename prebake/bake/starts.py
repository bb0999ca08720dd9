"""How soon a model in torch answers, with what was compiled and without: each way in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from entrypoints.ahead import install
from entrypoints.compiled import compile_blocks, load_cache
from entrypoints.contract import Network
from entrypoints.networks import Parts
from prebake.bake.job import Job
from prebake.bake.trial import Ask, Seconds, time_answers
from prebake.bake.warmed import open_model

EAGER, AOT, CACHE = "eager", "aot", "compile-cache"


@dataclass(frozen=True)
class Way:
    """One way to compute blocks: by the folders of libraries, by component and block, or the file of each component's cache."""

    form: str
    libraries: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    caches: Mapping[str, Path] = field(default_factory=dict)

    @property
    def compiled(self) -> list[str]:
        """The components of which something is compiled."""
        return [*self.libraries, *self.caches]

    @property
    def bytes(self) -> int:
        """What it adds to the image."""
        folders = {folder for chosen in self.libraries.values() for folder in chosen.values()}
        files = [path for folder in folders for path in folder.iterdir()]
        return sum(path.stat().st_size for path in [*files, *self.caches.values()])


def time_start(job: Job, parts: Mapping[str, Parts], device: str, way: Way) -> Seconds:
    """To be called in a fresh process. Opening is of what was compiled, weights being there; it is asked the warm-up request."""
    opened = open_model(job, parts, device)

    def take() -> Ask:
        _take(way, opened.networks, device)
        return opened.ask

    return time_answers(take)


def _take(way: Way, networks: Mapping[str, Network], device: str) -> None:
    for name, chosen in way.libraries.items():
        install(networks[name].blocks, chosen, device, _refuse)
    for name, cache in way.caches.items():
        load_cache(cache.read_bytes())
        compile_blocks(networks[name].blocks)


def _refuse(difference: str) -> None:
    raise AssertionError(f"the warm-up request is another than it was: {difference}")
