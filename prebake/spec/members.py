"""Do the models of an image of several fit into one? Looked for in all of them, so that one fault hides no other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prebake.errors import Problem
from prebake.spec.image import ImageSpec
from prebake.spec.lock import Lock, LockedBase
from prebake.spec.yamlfile import Document

RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Candidate:
    """What counts of a model that is to be one of several. ``lock`` is None where locking is what is about to happen."""

    spec: ImageSpec
    lock: Lock | None
    requirements: Mapping[str, str]


def find_strangers(
    document: Document, spec: ImageSpec, known: Mapping[str, ImageSpec], others: Sequence[str]
) -> Iterator[Problem]:
    """Models that are none of the project's ``others``, or have models themselves; ``known`` are those that exist."""
    for name in spec.models:
        where = document.place(("models", name))
        if name not in known or name not in others:
            yield _suggest(Problem(where, "is no other image of the project"), name, others)
        elif known[name].models:
            yield Problem(where, "has models itself", f"name them here: {', '.join(known[name].models)}")


def find_unfit(
    document: Document, spec: ImageSpec, requirements: Mapping[str, str], candidates: Mapping[str, Candidate]
) -> Iterator[Problem]:
    """A target or a checkpoint that a model lacks, another base than the first one's, graphs for another ONNX Runtime."""
    for name, candidate in candidates.items():
        yield from _checkpoint(document, spec, name, candidate.spec)
        yield from _targets(document, spec, name, candidate.spec)
        yield from _runtime(document, spec, requirements, name, candidate)
        yield from _packages(document, spec, requirements, name, candidate)
    yield from _bases(document, candidates)


def _checkpoint(document: Document, spec: ImageSpec, name: str, own: ImageSpec) -> Iterator[Problem]:
    chosen = spec.models[name].checkpoint
    if chosen is not None and chosen not in own.checkpoints:
        where = document.place(("models", name, "checkpoint"))
        yield _suggest(Problem(where, f"{name} has no checkpoint {chosen!r}"), chosen, list(own.checkpoints))


def _targets(document: Document, spec: ImageSpec, name: str, own: ImageSpec) -> Iterator[Problem]:
    for at, target in enumerate(spec.targets):
        if target not in own.targets:
            has = f"it has: {', '.join(own.targets)}"
            yield Problem(document.place(("targets", at)), f"{name} has no target {target!r}", has)
        elif own.runtime.get(target) == "torch":
            what = f"torch serves {name} on {target!r}, and only models of onnxruntime can be served together"
            yield Problem(document.place(("targets", at)), what, "leave the target out, or let onnxruntime serve it")


def _runtime(
    document: Document, spec: ImageSpec, requirements: Mapping[str, str], name: str, candidate: Candidate
) -> Iterator[Problem]:
    made = pinned_version(candidate.requirements.get("export", ""), RUNTIME)
    for target in spec.targets:
        served = pinned_version(requirements.get(target, ""), RUNTIME)
        if target in requirements and served != made:
            yield Problem(
                document.place(("models", name)),
                f"its graphs are made with ONNX Runtime {made}, requirements/{target}.txt serves them with {served}",
            )


def _packages(
    document: Document, spec: ImageSpec, requirements: Mapping[str, str], name: str, candidate: Candidate
) -> Iterator[Problem]:
    for target in spec.targets:
        needed, given = (_names(each.get(target, "")) for each in (candidate.requirements, requirements))
        if lacking := sorted(needed - given):
            what = f"requirements/{target}.txt lacks what it is served with: {', '.join(lacking)}"
            how = f"say `-r ../../{name}/requirements/{target}.in` in its .in file, and `make requirements`"
            yield Problem(document.place(("models", name)), what, how)


def _names(requirements: str) -> set[str]:
    return {line.partition("==")[0] for line in requirements.splitlines() if "==" in line}


def _bases(document: Document, candidates: Mapping[str, Candidate]) -> Iterator[Problem]:
    bases = {name: _base(candidate) for name, candidate in candidates.items()}
    for (first, expected), (name, found) in (
        (pair, other) for pair in list(bases.items())[:1] for other in bases.items()
    ):
        if found != expected:
            hint = "lock one of them again" if found.reference == expected.reference else ""
            what = f"stands on {found.reference}@{found.digest}, {first} on {expected.reference}@{expected.digest}"
            yield Problem(document.place(("models", name)), what, hint)


def _base(candidate: Candidate) -> LockedBase:
    return candidate.lock.base if candidate.lock else LockedBase(candidate.spec.base, "")


def _suggest(problem: Problem, name: str, names: Sequence[str]) -> Problem:
    """With the nearest of the names that there are."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return Problem(
        problem.where, problem.what, f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    )


def pinned_version(requirements: str, package: str) -> str | None:
    """The version that a requirements lock pins; onnxruntime-gpu counts as onnxruntime."""
    for line in requirements.splitlines():
        name, found, version = line.partition("==")
        if found and name in (package, f"{package}-gpu"):
            return version.split()[0]
    return None
