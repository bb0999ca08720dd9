"""The ways to open a component, best first: what was compiled for one kind of machine, then its graph by each provider, or a
network's blocks as they are.

A start takes the first way that this machine is made for. Every way that it has to pass over is told: who waits for a slow
start, or pays for a slow one, has to be able to see why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from entrypoints.faults import CompiledElsewhere, Fault, SessionFault
from entrypoints.manifest import Artifact, Component, Scratch
from entrypoints.shapes import ANY

Opened = TypeVar("Opened")
Facts = Callable[[str], Mapping[str, str]]
"""What is true of this machine, for a provider: the fields that artifacts are held against."""

PROVIDER_RUNGS = {
    "TensorrtExecutionProvider": "tensorrt",
    "CUDAExecutionProvider": "cuda",
    "CPUExecutionProvider": "cpu",
}
COMPILING = ("TensorrtExecutionProvider",)
"""Providers that would compile a graph as it is opened, for minutes: they open what was compiled ahead, and nothing else."""


class Rung(NamedTuple):
    """One way. ``providers``: the first computes, the others take what it cannot. ``fields`` have to be this machine's own,
    ``least`` at least its own, number by number. ``weights``, ``folders``, ``scratch``: as of an artifact. ``files`` have to be
    whole before it is opened; ``builds``: the provider compiles the component's graph there and then. ``takes``: which shapes
    (``entrypoints.shapes``). ``saturates``: its 8-bit products do so on some processors (``entrypoints.saturation``)."""

    name: str
    graph: str
    providers: tuple[str, ...]
    options: Mapping[str, str]
    optimize: str
    prepack: bool
    fields: Mapping[str, str] = {}
    least: Mapping[str, str] = {}
    reads: Mapping[str, tuple[tuple[int, int], ...]] = {}
    weights: str = ""
    folders: Mapping[str, str] = {}
    scratch: Scratch | None = None
    files: tuple[str, ...] = ()
    builds: bool = False
    takes: str = ANY
    saturates: bool = False


class Miss(NamedTuple):
    """Why a way was passed over. ``reason`` is one of a few words: ``field``, ``provider``, ``open`` or ``absent``."""

    rung: str
    reason: str
    detail: str


class Fallback(NamedTuple):
    """A step down that was taken."""

    component: str
    left: str
    taken: str
    reason: str
    detail: str


def rungs_of(component: Component) -> Iterator[Rung]:
    """Best first. The graph itself, opened by the last provider, is what any machine can do. One of a provider that compiles
    stands for what was not compiled for it."""
    for each in component.artifacts:
        yield Rung(
            each.rung,
            each.graph,
            (each.provider,),
            each.options,
            each.optimize,
            each.prepack,
            each.fields,
            each.least,
            each.reads,
            each.weights,
            each.folders,
            each.scratch,
            tuple(trusted_files(each)),
            each.graph == component.graph,
            each.takes,
        )
    for index, provider in enumerate(component.providers):
        if provider in COMPILING and any(each.provider == provider for each in component.artifacts):
            continue
        name = PROVIDER_RUNGS.get(provider, provider)
        left = component.providers[index:]
        options = component.options.get(provider, {})
        optimize, prepack, files = component.optimize, component.prepack, (component.graph,)
        rung = Rung(name, component.graph, left, options, optimize, prepack, reads=component.reads, files=files)
        yield rung._replace(saturates=component.saturates and provider == "CPUExecutionProvider")


def trusted_files(artifact: Artifact) -> Iterator[str]:
    """What is read by code that trusts it. Weights that a graph reads are data, as the component's own: ready waits for them."""
    yield artifact.graph
    for path in artifact.reads:
        if not artifact.weights or not path.startswith(f"{artifact.weights}/"):
            yield path


def without_compiled(component: Component) -> Component:
    """The component as its graph alone, for inputs that what was compiled does not take."""
    providers = tuple(each for each in component.providers if each not in COMPILING)
    return component._replace(artifacts=(), providers=providers)


class Way(Protocol):
    """What is tried: ways of one name are one rung, for several kinds of machine."""

    @property
    def name(self) -> str: ...


Tried = TypeVar("Tried", bound=Way)


def climb_down(
    component: str,
    ways: Sequence[Tried],
    find_miss: Callable[[Tried], Miss | None],
    open_way: Callable[[Tried], Opened],
    *,
    strict: bool,
) -> tuple[Opened, str, list[Fallback]]:
    """The first way that works, its name, and the steps that led there.

    Raises CompiledElsewhere where ``strict`` and it is not of the first rung, DamagedFile as ``open_way`` does, SessionFault
    where none works.
    """
    misses: list[Miss] = []
    for way in ways:
        miss = find_miss(way)
        if miss is None:
            try:
                opened = open_way(way)
            except Unopened as unopened:
                miss = Miss(way.name, "open", str(unopened))
            else:
                return opened, way.name, list(steps_down(component, misses, way.name))
        misses.append(miss)
        if strict and len(ways) > 1 and all(each.name != way.name for each in ways[len(misses) :]):
            raise CompiledElsewhere([f"{component}: {each.rung}: {each.detail}" for each in misses])
    raise SessionFault([f"{component}: {miss.rung}: {miss.detail}" for miss in misses])


def steps_down(component: str, misses: Iterable[Miss], taken: str) -> Iterator[Fallback]:
    """One for each rung that was left. What was compiled for another kind of machine is no step where the same was for this
    one."""
    for name in dict.fromkeys(miss.rung for miss in misses if miss.rung != taken):
        left = [miss for miss in misses if miss.rung == name]
        yield Fallback(component, name, taken, left[-1].reason, "; or ".join(miss.detail for miss in left))


class Unopened(Exception):
    """A way that should have worked did not: the runtime's own words."""


def find_miss(rung: Rung, find_facts: Facts, available: Callable[[], list[str]]) -> Miss | None:
    """What this machine lacks for it, if it lacks something: told before anything is opened."""
    absent = [name for name in rung.providers[:1] if name not in available()]
    if absent:
        return Miss(rung.name, "provider", f"this ONNX Runtime has no {', '.join(absent)}")
    if rung.providers[0] == "CPUExecutionProvider" and not rung.fields and not rung.least:
        return None
    try:
        found = find_facts(rung.providers[0])
    except Fault as fault:
        return Miss(rung.name, "provider", str(fault))
    if differences := find_differences(rung.fields, rung.least, found):
        return Miss(rung.name, "field", "; ".join(differences))
    if rung.providers[0] in COMPILING and not rung.fields:
        return Miss(rung.name, "absent", "nothing was compiled for it: `prebake compile` does so where the device is")
    return None


def find_differences(fields: Mapping[str, str], least: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Every field that does not match, claimed against found."""
    other = [
        f"{name}: compiled for {fields[name]}, here {found.get(name, 'unknown')}"
        for name in sorted(fields)
        if found.get(name) != fields[name]
    ]
    older = [
        f"{name}: needs at least {least[name]}, here {found.get(name, 'unknown')}"
        for name in sorted(least)
        if not reaches(found.get(name, ""), least[name])
    ]
    return other + older


def reaches(found: str, least: str) -> bool:
    """Dotted numbers, compared number by number; what is no number reaches nothing."""
    try:
        return [int(part) for part in found.split(".")] >= [int(part) for part in least.split(".")]
    except ValueError:
        return False
