"""The whole build as a value, before anything happens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from prebake.bake.artifact_file import ArtifactFile
from prebake.bake.join_settings import MEMBERS, place_in
from prebake.plan.metadata import Metadata
from prebake.spec.image import ImageSpec, Target
from prebake.spec.lock import LockedBase, LockedFile, LockedLayer
from prebake.spec.system import NO_SYSTEM, LockedSystem

LayerKind = Literal["dependencies", "weights", "derived", "compiled", "graphs", "notices", "code"]

ON_ANY_BASE = ("weights", "compiled")
"""The kinds of layers of files that do not come from a build: they are the same on every base."""

MODEL_KINDS = ("weights", "derived", "compiled", "graphs")
"""The kinds of layers of what lies under /models."""

STARTS = 3
"""Fresh starts that a build times, if it is not told another number."""

LARGEST = 10**10 - 2**20
"""Bytes of a published file that has its layer: registries refuse those above 10 GB, and a tar is larger than its file."""


def canonical(value: Any) -> str:
    """Canonical JSON: what keys are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def content_time(sha256: str) -> int:
    """The time (seconds since the epoch, within its first nine years) that a file of a build's context gets.

    BuildKit takes a file of unchanged size and time for unchanged and does not look into it, so the time has to follow from
    the content: with one time for all, a digit changed in a source would build the old one again. And it must follow from
    nothing else, or a layer's digest would tell when it was made.
    """
    return int(sha256[:7], 16)


def is_whole(file: LockedFile) -> bool:
    """Whether an image holds a published file as it is: it is shipped, and not too large for a layer."""
    return file.ship and file.size <= LARGEST


def weight_folders(spec: ImageSpec) -> tuple[str, ...]:
    """The folders under /models that components have their weights in, in the order of the components."""
    return tuple(dict.fromkeys(component.folder or name for name, component in spec.components.items()))


def derived_folders(spec: ImageSpec, files: Iterable[LockedFile]) -> frozenset[str]:
    """Those whose weights the export stage makes, all of them or some."""
    parts = {file.path.partition("/")[0] for file in files if file.ship and not is_whole(file)}
    made = {
        name: each for name, each in spec.components.items() if each.derived or each.published or each.makes_weights
    }
    derived = {component.folder or name for name, component in made.items()}
    return frozenset(parts | derived)


def converted_bytes(spec: ImageSpec, files: Iterable[LockedFile]) -> int:
    """What the export stage makes of them at most: weights of half precision come out twice as large."""
    files = tuple(files)
    return 2 * sum(file.size for file in files if not is_whole(file)) if derived_folders(spec, files) else 0


@dataclass(frozen=True)
class Layer:
    """One layer of the image, above the base.

    ``inputs`` says what it is made of, by name and digest; its key follows from them. ``size`` is in bytes where it is
    known before the build; ``locked`` is what the lock tells of a layer of published files.
    """

    name: str
    kind: LayerKind
    paths: tuple[str, ...]
    inputs: Mapping[str, str]
    size: int | None = None
    locked: LockedLayer | None = None

    @property
    def key(self) -> str:
        return digest({"kind": self.kind, "inputs": dict(self.inputs)})


@dataclass(frozen=True)
class ContextFile:
    """A file of the build's context: text or code rendered now, or a weight file linked from the store."""

    path: str
    data: bytes | None = None
    sha256: str | None = None
    executable: bool = False


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line, and what the image says about itself."""

    target: Target = "cpu"
    checkpoint: str | None = None
    tag: str | None = None
    metadata: Metadata = field(default_factory=Metadata)


@dataclass(frozen=True)
class Member:
    """One model of an image of several: its plan, as if it were alone, and the places of the top-level folders and files
    under /models that its weights and graphs lie in."""

    plan: Plan
    places: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.plan.name

    def place(self, path: str) -> str:
        """Where in the image of several lies what has this path under /models of the model's own image."""
        return place_in(path, self.places, f"{MEMBERS}/{self.name}")


@dataclass(frozen=True)
class Plan:
    """What a build will do. ``room`` is the disk space it needs at most, in bytes, by where it is needed.

    ``members`` are the models of an image of several; ``files`` and ``layers`` are then those of all, where they lie in it.
    ``artifacts`` are what was found compiled for machines (``prebake.plan.compiled``); ``compiler_packages`` is the key of what
    compiles them where torch serves, empty elsewhere.
    """

    spec: ImageSpec
    target: Target
    checkpoint: str
    tag: str
    base: LockedBase
    files: tuple[LockedFile, ...]
    layers: tuple[Layer, ...]
    export_packages: str
    export_key: str
    compile_key: str
    context: tuple[ContextFile, ...]
    naive: bool
    room: Mapping[str, int] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    artifacts: tuple[ArtifactFile, ...] = ()
    compiler_packages: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    system: LockedSystem = NO_SYSTEM

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def naive_tag(self) -> str:
        return f"{self.tag}-naive"

    @property
    def shipped(self) -> tuple[LockedFile, ...]:
        """The files that the image holds as published."""
        return tuple(file for file in self.files if is_whole(file))

    @property
    def derived(self) -> frozenset[str]:
        """The weight folders with something in them that the export stage makes."""
        return derived_folders(self.spec, self.files)

    @property
    def compiled(self) -> tuple[ArtifactFile, ...]:
        """The artifacts of all models."""
        return tuple(artifact for plan in self.models for artifact in plan.artifacts)

    @property
    def models(self) -> tuple[Plan, ...]:
        """The plan of each model alone."""
        return tuple(member.plan for member in self.members) or (self,)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders under /models that weights and graphs lie in."""
        if not self.members:
            return weight_folders(self.spec)
        placed = (member.place(folder) for member in self.members for folder in weight_folders(member.plan.spec))
        return tuple(dict.fromkeys(placed))

    @property
    def converted(self) -> int:
        """Bytes that the export stages make at most."""
        return sum(converted_bytes(plan.spec, plan.files) for plan in self.models)

    @property
    def licence(self) -> str:
        """Of the weights, as an SPDX expression; of several models, of all of theirs."""
        each = dict.fromkeys(plan.spec.checkpoints[plan.checkpoint].licence.id for plan in self.models)
        if len(each) == 1:
            return next(iter(each))
        terms = [term for id in each for term in ([f"({id})"] if " OR " in id else id.split(" AND "))]
        return " AND ".join(dict.fromkeys(terms))
