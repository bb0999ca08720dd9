"""The fallback order of a component: its candidates, best first, and the first of them that this machine can open.

First come the artifacts, each compiled for one kind of machine. Then comes the graph itself with each execution provider in
turn, or a network's blocks as torch computes them. Each rejected candidate is reported with its reason, so that the cause of a
slow start can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from entrypoints.contract import Session
from entrypoints.errors import CompiledElsewhere, Fault, SessionFault
from entrypoints.hardware.facts import find_facts
from entrypoints.hardware.providers import COMPILING_PROVIDERS, CPU, SHORT_NAMES, list_available_providers
from entrypoints.manifest.shape_buckets import ACCEPTS_ANY
from entrypoints.manifest.values import Artifact, OnnxComponent, TorchArtifact

Facts = Mapping[str, str]
"""The facts of this machine, by the names that artifacts use in ``requires`` and ``minimum``."""


class Rejection(NamedTuple):
    """Why a candidate was not opened. ``reason``: ``field`` if the machine is another one, ``provider`` if ONNX Runtime or the
    device lacks it, ``absent`` if nothing was compiled for the provider, ``open`` if opening failed."""

    candidate: str
    reason: str
    detail: str


class Candidate(NamedTuple):
    """One way to open a component. Artifacts for several kinds of machine have the same name."""

    name: str
    artifact: Artifact | TorchArtifact | None
    """None for a network whose blocks torch computes as they are."""
    find_rejection: Callable[[], Rejection | None]
    """Compares the machine with the artifact; opens nothing."""
    open: Callable[[], Session]
    """Raises OpenFailed, or a Fault that ends the start."""


class OpenFailed(Exception):
    """A candidate that fits this machine could not be opened; the text says why."""


class Fallback(NamedTuple):
    """A better candidate was rejected."""

    component: str
    rejected: str
    opened: str
    reason: str
    detail: str


class Opened(NamedTuple):
    """``fallbacks``: one for each name of a better candidate."""

    session: Session
    candidate: Candidate
    fallbacks: list[Fallback]


def open_first(component: str, candidates: Sequence[Candidate], *, strict: bool) -> Opened:
    """Open the first candidate that can be opened.

    Raises SessionFault if none can, CompiledElsewhere if ``strict`` and no candidate of the first name can, and what
    ``Candidate.open`` raises.
    """
    rejections: list[Rejection] = []
    for number, candidate in enumerate(candidates, start=1):
        rejection = candidate.find_rejection()
        if rejection is None:
            try:
                return Opened(candidate.open(), candidate, list_fallbacks(component, rejections, candidate.name))
            except OpenFailed as failure:
                rejection = Rejection(candidate.name, "open", str(failure))
        rejections.append(rejection)
        if strict and len(candidates) > 1 and all(later.name != candidate.name for later in candidates[number:]):
            raise CompiledElsewhere(describe_rejections(component, rejections))
    raise SessionFault(describe_rejections(component, rejections))


def describe_rejections(component: str, rejections: Iterable[Rejection]) -> list[str]:
    return [f"{component}: {rejection.candidate}: {rejection.detail}" for rejection in rejections]


def list_fallbacks(component: str, rejections: Sequence[Rejection], opened: str) -> list[Fallback]:
    """One for each rejected name. An artifact for another machine is none if the same was opened for this machine."""
    fallbacks = []
    for name in dict.fromkeys(rejection.candidate for rejection in rejections if rejection.candidate != opened):
        same = [rejection for rejection in rejections if rejection.candidate == name]
        detail = "; or ".join(rejection.detail for rejection in same)
        fallbacks.append(Fallback(component, name, opened, same[-1].reason, detail))
    return fallbacks


def list_candidates(
    component: OnnxComponent,
    open_artifact: Callable[[Artifact], Session],
    facts: Callable[[str], Facts] = find_facts,
    available: Callable[[], list[str]] = list_available_providers,
) -> list[Candidate]:
    """The candidates of a graph, best first. ``facts`` describes this machine for a provider; ``open_artifact`` raises
    OpenFailed."""
    return [
        Candidate(
            name=artifact.name,
            artifact=artifact,
            find_rejection=partial(find_rejection, artifact, facts, available),
            open=partial(open_artifact, artifact),
        )
        for artifact in (*component.artifacts, *list_uncompiled(component))
    ]


def list_uncompiled(component: OnnxComponent) -> Iterator[Artifact]:
    """The graph itself with each provider in turn; any machine can open it with the last. A provider that compiles is left out
    if there is an artifact for it."""
    compiled = {artifact.providers[0] for artifact in component.artifacts}
    for index, provider in enumerate(component.providers):
        if provider in COMPILING_PROVIDERS and provider in compiled:
            continue
        saturates = component.session.int8_saturates and provider == CPU
        yield Artifact(
            name=SHORT_NAMES.get(provider, provider),
            graph=component.graph,
            providers=component.providers[index:],
            provider_options=component.provider_options.get(provider, {}),
            session=component.session._replace(int8_saturates=saturates),
            requires={},
            minimum={},
            byte_ranges=component.byte_ranges,
            key=component.key,
            accepts=ACCEPTS_ANY,
        )


def without_artifacts(component: OnnxComponent) -> OnnxComponent:
    """The component as its graph alone, for inputs that no artifact accepts."""
    providers = tuple(provider for provider in component.providers if provider not in COMPILING_PROVIDERS)
    return component._replace(artifacts=(), providers=providers)


def list_files_to_verify_first(artifact: Artifact) -> list[str]:
    """The files that must be verified before the artifact is opened: code, and graphs that may crash a parser. Weights are data:
    they are verified before the start becomes ready."""
    if not artifact.requires:
        return [artifact.graph]
    data = f"{artifact.weights_folder}/" if artifact.weights_folder else "\0"
    return [artifact.graph, *(path for path in artifact.byte_ranges if not path.startswith(data))]


def find_rejection(
    artifact: Artifact, facts: Callable[[str], Facts], available: Callable[[], list[str]]
) -> Rejection | None:
    """Why this machine cannot open the artifact; None if it may be tried."""
    provider = artifact.providers[0]
    if provider not in available():
        return Rejection(artifact.name, "provider", f"this ONNX Runtime has no {provider}")
    if provider == CPU and not artifact.requires and not artifact.minimum:
        return None
    try:
        machine = facts(provider)
    except Fault as fault:
        return Rejection(artifact.name, "provider", str(fault))
    if differences := find_differences(artifact.requires, artifact.minimum, machine):
        return Rejection(artifact.name, "field", "; ".join(differences))
    if provider in COMPILING_PROVIDERS and not artifact.requires:
        return Rejection(
            artifact.name, "absent", "nothing was compiled for it: run `prebake compile` on a machine with the device"
        )
    return None


def find_differences(requires: Facts, minimum: Facts, machine: Facts) -> list[str]:
    """One text for each fact of ``requires`` that the machine does not equal, and each number of ``minimum`` that it does not
    reach."""
    different = [
        f"{name}: compiled for {requires[name]}, here {machine.get(name, 'unknown')}"
        for name in sorted(requires)
        if machine.get(name) != requires[name]
    ]
    older = [
        f"{name}: needs at least {minimum[name]}, here {machine.get(name, 'unknown')}"
        for name in sorted(minimum)
        if not reaches(machine.get(name, ""), minimum[name])
    ]
    return different + older


def reaches(version: str, minimum: str) -> bool:
    """Whether a dotted version is at least ``minimum``, number by number. False if the text is not a version."""
    try:
        return [int(part) for part in version.split(".")] >= [int(part) for part in minimum.split(".")]
    except ValueError:
        return False
