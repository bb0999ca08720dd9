"""``/models/manifest.json`` as values: what the builder put into the image and what is to be made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from entrypoints.shapes import ALONE, Buckets

NAME = "manifest.json"
Reads = Mapping[str, tuple[tuple[int, int], ...]]
"""By file of weights, the (offset, length) ranges in bytes that are used of it."""


class Scratch(NamedTuple):
    """A folder that is copied to where its provider may write; ``options`` are those that name the copy."""

    folder: str
    options: tuple[str, ...]


class Artifact(NamedTuple):
    """What was compiled of a component for one kind of machine: opened before its graph where ``fields`` are this machine's
    own and ``least`` are reached. ``rung`` is its name on the ladder; ``weights`` the folder that its graph reads, empty where
    that is its own; ``folders`` are those that options of its provider name. ``takes``: which shapes (``entrypoints.shapes``)."""

    rung: str
    graph: str
    provider: str
    options: Mapping[str, str]
    optimize: str
    prepack: bool
    fields: Mapping[str, str]
    least: Mapping[str, str]
    reads: Reads
    key: str
    weights: str = ""
    folders: Mapping[str, str] = {}
    scratch: Scratch | None = None
    takes: str = ALONE

    @property
    def files(self) -> tuple[str, ...]:
        """All of it."""
        return self.graph, *self.reads


class Tensor(NamedTuple):
    """``dtype`` is numpy's word, or ``string``; an axis of ``shape`` is a length, or the name of one that is free. A shape of
    None stands for a tensor of any rank."""

    dtype: str
    shape: tuple[int | str, ...] | None


class Component(NamedTuple):
    """One graph. ``options``: of providers, by provider. ``saturates``: its 8-bit products do so on some processors
    (``entrypoints.saturation``)."""

    name: str
    graph: str
    precision: str
    providers: tuple[str, ...]
    optimize: str
    prepack: bool
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    reads: Reads
    key: str
    options: Mapping[str, Mapping[str, str]] = {}
    artifacts: tuple[Artifact, ...] = ()
    buckets: Buckets | None = None
    saturates: bool = False

    @property
    def first(self) -> str:
        """The small file that it is opened by."""
        return self.graph


class Library(NamedTuple):
    """What AOTInductor made of equal blocks of a network: its folder, and the blocks' numbers."""

    folder: str
    blocks: tuple[int, ...]


class NetworkArtifact(NamedTuple):
    """What was compiled of a network's blocks for one kind of machine: ``aot`` has libraries, ``compile-cache`` the file of what
    ``torch.compile`` left. Used where ``fields`` are this machine's own and ``least`` are reached; ``files`` are all of it."""

    rung: str
    libraries: tuple[Library, ...]
    cache: str
    fields: Mapping[str, str]
    least: Mapping[str, str]
    files: tuple[str, ...]
    key: str

    @property
    def name(self) -> str:
        """Of the rung, as the ladder has it."""
        return self.rung


class TorchComponent(NamedTuple):
    """One network in torch. ``reads``: its weight files, each whole."""

    name: str
    config: str
    precision: str
    reads: Reads
    key: str
    artifacts: tuple[NetworkArtifact, ...] = ()

    @property
    def first(self) -> str:
        return self.config


class TorchRuntime(NamedTuple):
    """How torch serves. ``module`` builds the networks; ``compiled`` is what was to be compiled of them, ``none`` for nothing."""

    module: str
    device: str
    compiled: str


class File(NamedTuple):
    """``size`` in bytes; ``xxh3``, where it is known, is of 128 bits."""

    size: int
    sha256: str
    origin: str
    xxh3: str = ""


class Warmup(NamedTuple):
    """``tolerance``: the largest absolute difference from the framework's answer."""

    request: str
    answer: str
    media_type: str
    tolerance: float


class Limits(NamedTuple):
    """``queue``: requests that may wait beyond those at work. ``seconds``: of one request's work."""

    body_bytes: int = 64 * 1024 * 1024
    queue: int = 16
    seconds: float = 600.0


class Joint(NamedTuple):
    """What an image of several models says of one of them. ``home`` is the folder of what does not lie with weights,
    ``places`` says where the rest lies, by its first folder or by its whole path; ``files`` are those of all models."""

    image: str
    home: str
    places: Mapping[str, str]
    files: frozenset[str]


class Manifest(NamedTuple):
    name: str
    target: str
    checkpoint: str
    module: str
    revision: str
    components: Mapping[str, Component | TorchComponent]
    files: Mapping[str, File]
    warmup: Warmup
    limits: Limits
    fallback: str = "announce"
    """``error`` where a start is to end rather than take another way than the best."""
    torch: TorchRuntime | None = None
    joint: Joint | None = None
    """None where the model is the only one; the paths above are the image's, those that the model uses are its own."""

    @property
    def listed(self) -> Collection[str]:
        """Every file that the image should have."""
        return self.files if self.joint is None else self.joint.files

    def place(self, path: str) -> str:
        """Where in the image lies what the model knows by this path."""
        if self.joint is None:
            return path
        entry, slash, rest = path.partition("/")
        places = self.joint.places
        if path in places:
            return places[path]
        return f"{places[entry]}{slash}{rest}" if entry in places else f"{self.joint.home}/{path}"
