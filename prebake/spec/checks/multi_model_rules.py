"""Whether the models of a multi-model image fit into one image. All of them are checked, so that all faults are reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prebake.errors import Problem
from prebake.spec.image.image import ImageSpec
from prebake.spec.lock import Lock, LockedBase
from prebake.spec.suggestions import nearest_or_all
from prebake.spec.yaml_file import Document

RUNTIME_PACKAGE = "onnxruntime"


@dataclass(frozen=True)
class Candidate:
    """A model of the image. ``lock`` is None while the lock is being written."""

    spec: ImageSpec
    lock: Lock | None
    requirements: Mapping[str, str]


def find_unknown_models(
    document: Document, spec: ImageSpec, known: Mapping[str, ImageSpec], others: Sequence[str]
) -> Iterator[Problem]:
    """Models that are not among the project's ``others``, or that are multi-model images; ``known`` are the images that exist."""
    for name in spec.models:
        where = document.place(("models", name))
        if name not in known or name not in others:
            yield Problem(where, "is not another image of the project", _suggest(name, others))
        elif known[name].models:
            yield Problem(where, "has models itself", f"list them here: {', '.join(known[name].models)}")


def find_misfits(
    document: Document, spec: ImageSpec, requirements: Mapping[str, str], candidates: Mapping[str, Candidate]
) -> Iterator[Problem]:
    """A checkpoint or target that a model lacks, another ONNX Runtime, a missing package, another base image."""
    for name, candidate in candidates.items():
        yield from _check_checkpoint(document, spec, name, candidate.spec)
        yield from _check_targets(document, spec, name, candidate.spec)
        yield from _check_runtime(document, spec, requirements, name, candidate)
        yield from _check_packages(document, spec, requirements, name, candidate)
    yield from _check_bases(document, candidates)


def _check_checkpoint(document: Document, spec: ImageSpec, name: str, model: ImageSpec) -> Iterator[Problem]:
    chosen = spec.models[name].checkpoint
    if chosen is not None and chosen not in model.checkpoints:
        where = document.place(("models", name, "checkpoint"))
        hint = _suggest(chosen, list(model.checkpoints))
        yield Problem(where, f"{name} has no checkpoint {chosen!r}", hint)


def _check_targets(document: Document, spec: ImageSpec, name: str, model: ImageSpec) -> Iterator[Problem]:
    for index, target in enumerate(spec.targets):
        if target not in model.targets:
            has = f"it has: {', '.join(model.targets)}"
            yield Problem(document.place(("targets", index)), f"{name} has no target {target!r}", has)
        elif model.runtime.get(target) == "torch":
            what = f"torch serves {name} on {target!r}, but a multi-model image needs onnxruntime"
            yield Problem(document.place(("targets", index)), what, "remove the target, or let onnxruntime serve it")


def _check_runtime(
    document: Document, spec: ImageSpec, requirements: Mapping[str, str], name: str, candidate: Candidate
) -> Iterator[Problem]:
    exported = pinned_version(candidate.requirements.get("export", ""), RUNTIME_PACKAGE)
    for target in spec.targets:
        served = pinned_version(requirements.get(target, ""), RUNTIME_PACKAGE)
        if target in requirements and served != exported:
            yield Problem(
                document.place(("models", name)),
                f"its export packages have ONNX Runtime {exported}, requirements/{target}.txt has {served}",
                "pin the same version in both, then `make requirements`",
            )


def _check_packages(
    document: Document, spec: ImageSpec, requirements: Mapping[str, str], name: str, candidate: Candidate
) -> Iterator[Problem]:
    for target in spec.targets:
        needed, given = _names(candidate.requirements.get(target, "")), _names(requirements.get(target, ""))
        if missing := sorted(needed - given):
            what = f"requirements/{target}.txt lacks packages that the model needs: {', '.join(missing)}"
            how = f"write `-r ../../{name}/requirements/{target}.in` in its .in file, and `make requirements`"
            yield Problem(document.place(("models", name)), what, how)


def _names(requirements: str) -> set[str]:
    return {line.partition("==")[0] for line in requirements.splitlines() if "==" in line}


def _check_bases(document: Document, candidates: Mapping[str, Candidate]) -> Iterator[Problem]:
    bases = {name: _base(candidate) for name, candidate in candidates.items()}
    first = next(iter(bases), None)
    for name, base in bases.items():
        if first is not None and base != bases[first]:
            expected = bases[first]
            hint = (
                "lock one of them again" if base.reference == expected.reference else "give both images the same base"
            )
            what = f"has the base {base.reference}@{base.digest}, {first} has {expected.reference}@{expected.digest}"
            yield Problem(document.place(("models", name)), what, hint)


def _base(candidate: Candidate) -> LockedBase:
    return candidate.lock.base if candidate.lock else LockedBase(candidate.spec.base, "")


def _suggest(name: str, names: Sequence[str]) -> str:
    return nearest_or_all(name, names, "there are", cutoff=0.4)


def pinned_version(requirements: str, package: str) -> str | None:
    """The version that a requirements file pins; onnxruntime-gpu counts as onnxruntime."""
    for line in requirements.splitlines():
        name, found, version = line.partition("==")
        if found and name in (package, f"{package}-gpu"):
            return version.split()[0]
    return None
