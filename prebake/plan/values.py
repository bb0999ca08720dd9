"""The Plan and its parts as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prebake.documents.artifact import ArtifactFile
from prebake.documents.canonical import digest_json
from prebake.documents.join_settings import MEMBERS, place_in
from prebake.plan.image_metadata import Metadata
from prebake.plan.layer_kinds import LayerKind
from prebake.spec.image.image import ImageSpec, Target
from prebake.spec.image.system_packages import NO_SYSTEM, LockedSystem
from prebake.spec.lock import LockedBase, LockedFile, LockedLayer

DEFAULT_STARTS = 3
"""Number of fresh starts that a build times by default."""

MAX_LAYER_BYTES = 10**10 - 2**20
"""Largest published file in a layer: registries refuse layers above 10 GB, and a tar is larger than its file."""


def content_time(sha256: str) -> int:
    """The modification time of a file in a build's context: seconds since the epoch, within its first nine years.

    BuildKit does not read a file whose size and time are unchanged, so the time must follow from the content: if all files
    had one time, a changed digit in a source would go unnoticed. The time must follow from nothing else, or a layer's digest
    would depend on when it was built.
    """
    return int(sha256[:7], 16)


def is_whole(file: LockedFile) -> bool:
    """Whether an image holds a published file unchanged: it is shipped, and not too large for a layer."""
    return file.ship and file.size <= MAX_LAYER_BYTES


def weight_folders(spec: ImageSpec) -> tuple[str, ...]:
    """The folders under /models that hold the components' weights, in the order of the components."""
    return tuple(dict.fromkeys(component.folder or name for name, component in spec.components.items()))


def derived_folders(spec: ImageSpec, files: Iterable[LockedFile]) -> frozenset[str]:
    """The weight folders with at least one file that the export stage makes."""
    parts = {file.path.partition("/")[0] for file in files if file.ship and not is_whole(file)}
    made = {
        name: component
        for name, component in spec.components.items()
        if component.derived or component.published or component.makes_weights
    }
    derived = {component.folder or name for name, component in made.items()}
    return frozenset(parts | derived)


def converted_bytes(spec: ImageSpec, files: Iterable[LockedFile]) -> int:
    """The largest number of bytes that the export stage writes: half-precision weights may double in size."""
    files = tuple(files)
    return 2 * sum(file.size for file in files if not is_whole(file)) if derived_folders(spec, files) else 0


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of the image, above the base.

    ``inputs`` are the digests of its inputs by name; its key follows from them. ``size`` is in bytes, None if it is not
    known before the build. ``locked`` is the lock's record of a layer of published files.
    """

    name: str
    kind: LayerKind
    paths: tuple[str, ...]
    inputs: Mapping[str, str]
    size: int | None = None
    locked: LockedLayer | None = None

    @property
    def key(self) -> str:
        return digest_json({"kind": self.kind, "inputs": dict(self.inputs)})


@dataclass(frozen=True)
class ContextFile:
    """A file of the build's context: text or code; or, in a rendered context, a weight file linked from the store."""

    path: str
    data: bytes | None = None
    sha256: str | None = None
    executable: bool = False


@dataclass(frozen=True)
class Options:
    """Options of the command line, and the image's metadata."""

    target: Target = "cpu"
    checkpoint: str | None = None
    tag: str | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def image_tag(self, spec: ImageSpec) -> str:
        """The given name, or ``prebake/NAME:TARGET-CHECKPOINT``; for an image of several models without the checkpoint."""
        checkpoint = "" if spec.models else f"-{self.checkpoint or spec.checkpoint}"
        return self.tag or f"prebake/{spec.name}:{self.target}{checkpoint}"


@dataclass(frozen=True)
class Member:
    """One model of an image of several: the plan of its own image, and the paths under /models that its top-level folders
    and files get here."""

    plan: Plan
    places: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.plan.name

    def place(self, path: str) -> str:
        """The path in the image of several, for a path under /models of the model's own image."""
        return place_in(path, self.places, f"{MEMBERS}/{self.name}")


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before a build. ``room`` is the largest disk space needed, in bytes, in the store and
    at the Engine.

    ``members`` are the models of an image of several; ``files`` and ``layers`` are then those of all models, by their paths
    in the image. ``artifacts`` are compiled artifacts (``prebake.plan.artifact_layers``). ``compiler_packages`` is the key of
    the packages that compile them if torch serves, otherwise empty.
    """

    spec: ImageSpec
    target: Target
    checkpoint: str
    tag: str
    base: LockedBase
    files: tuple[LockedFile, ...]
    layers: tuple[PlannedLayer, ...]
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
        """The files that the image holds unchanged."""
        return tuple(file for file in self.files if is_whole(file))

    @property
    def derived(self) -> frozenset[str]:
        """The weight folders with at least one file that the export stage makes."""
        return derived_folders(self.spec, self.files)

    @property
    def all_artifacts(self) -> tuple[ArtifactFile, ...]:
        """The artifacts of all models."""
        return tuple(artifact for plan in self.models for artifact in plan.artifacts)

    @property
    def models(self) -> tuple[Plan, ...]:
        """The plan of each model alone."""
        return tuple(member.plan for member in self.members) or (self,)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders under /models with weights or graphs."""
        if not self.members:
            return weight_folders(self.spec)
        placed = (member.place(folder) for member in self.members for folder in weight_folders(member.plan.spec))
        return tuple(dict.fromkeys(placed))

    @property
    def converted_bytes(self) -> int:
        """The largest number of bytes that the export stages write."""
        return sum(converted_bytes(plan.spec, plan.files) for plan in self.models)

    @property
    def license(self) -> str:
        """The SPDX expression of the weights' licenses; of several models the conjunction of theirs."""
        licenses = dict.fromkeys(plan.spec.checkpoints[plan.checkpoint].license.id for plan in self.models)
        if len(licenses) == 1:
            return next(iter(licenses))
        terms = [term for id in licenses for term in ([f"({id})"] if " OR " in id else id.split(" AND "))]
        return " AND ".join(dict.fromkeys(terms))


GPU_TARGETS = ("cuda", "tensorrt")
"""The targets whose artifacts are compiled on a GPU."""
