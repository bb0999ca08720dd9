"""How soon a model in torch answers, with what was compiled and without: each way in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoints.ahead import install
from entrypoints.compiled import compile_blocks, load_cache
from entrypoints.contract import Network
from entrypoints.networks import Parts
from prebake.bake.compile import Job
from prebake.bake.trial import Ask, Seconds, time_answers
from prebake.bake.warmed import open_model

EAGER, AOT, CACHE = "eager", "aot", "compile-cache"


@dataclass(frozen=True)
class Way:
    """One way to compute blocks. ``source``: the folders of libraries by component and block, or the file of a cache."""

    form: str
    libraries: Mapping[str, Mapping[int, Path]] | None = None
    cache: Path | None = None

    @property
    def bytes(self) -> int:
        """What it adds to the image."""
        folders = {folder for chosen in (self.libraries or {}).values() for folder in chosen.values()}
        files = [path for folder in folders for path in folder.iterdir()]
        return sum(path.stat().st_size for path in [*files, *([self.cache] if self.cache else [])])


def time_start(job: Job, parts: Mapping[str, Parts], device: str, way: Way) -> Seconds:
    """To be called in a fresh process. Opening is of what was compiled, weights being there; it is asked the warm-up request."""
    opened = open_model(job, parts, device)

    def take() -> Ask:
        _take(way, opened.networks, device)
        return opened.ask

    return time_answers(take)


def _take(way: Way, networks: Mapping[str, Network], device: str) -> None:
    for name, chosen in (way.libraries or {}).items():
        install(networks[name].blocks, chosen, device, _refuse)
    if way.cache is not None:
        load_cache(way.cache.read_bytes())
        for network in networks.values():
            compile_blocks(network.blocks)


def _refuse(difference: str) -> None:
    raise AssertionError(f"the warm-up request is another than it was: {difference}")
