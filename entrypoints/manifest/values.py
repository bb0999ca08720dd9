"""``/models/manifest.json`` as values: the files of the image, and how its components are opened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from entrypoints.manifest.shape_buckets import ACCEPTS_BUCKETS, Buckets

MANIFEST_FILE = "manifest.json"
ByteRanges = Mapping[str, tuple[tuple[int, int], ...]]
"""The (offset, length) ranges in bytes that a graph uses of each weight file, by path."""


class ScratchFolder(NamedTuple):
    """A folder that is copied to a writable place before a provider opens it. ``option_names``: the provider options that get
    the path of the copy."""

    folder: str
    option_names: tuple[str, ...]


class SessionEntry(NamedTuple):
    """The ``session`` entry of a graph: how ONNX Runtime opens it. ``int8_saturates``: 8-bit products of the graph overflow on
    some processors (``entrypoints.hardware.int8_saturation``)."""

    optimize: str
    prepack: bool
    int8_saturates: bool = False


class Artifact(NamedTuple):
    """A graph as one execution provider opens it: compiled for one kind of machine, or the component's own graph.

    ``providers``: the first computes, the others take the nodes that it cannot. ``requires``: facts that the machine must equal;
    empty for the component's own graph. ``minimum``: versions that the machine must reach. ``weights_folder``: where the graph's
    weights lie, empty if beside it. ``folder_options``: provider options whose value is a folder of the image. ``accepts``: the
    shapes that it can run (``entrypoints.manifest.shape_buckets``). ``compiles_at_open``: the provider compiles the component's
    graph while it opens it, with the help of this artifact's files.
    """

    name: str
    graph: str
    providers: tuple[str, ...]
    provider_options: Mapping[str, str]
    session: SessionEntry
    requires: Mapping[str, str]
    minimum: Mapping[str, str]
    byte_ranges: ByteRanges
    key: str
    weights_folder: str = ""
    folder_options: Mapping[str, str] = {}
    scratch: ScratchFolder | None = None
    accepts: str = ACCEPTS_BUCKETS
    compiles_at_open: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        return self.graph, *self.byte_ranges


class TensorSpec(NamedTuple):
    """``dtype`` is numpy's name, or ``string``. An axis of ``shape`` is a length, or the name of a dynamic axis. A shape of None
    stands for a tensor of any rank."""

    dtype: str
    shape: tuple[int | str, ...] | None


class OnnxComponent(NamedTuple):
    """One graph. ``provider_options``: by provider. ``artifacts``: best first."""

    name: str
    graph: str
    precision: str
    providers: tuple[str, ...]
    session: SessionEntry
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    byte_ranges: ByteRanges
    key: str
    provider_options: Mapping[str, Mapping[str, str]] = {}
    artifacts: tuple[Artifact, ...] = ()
    buckets: Buckets | None = None

    @property
    def main_file(self) -> str:
        """The small file that opening begins with."""
        return self.graph


class SharedLibrary(NamedTuple):
    """A library that AOTInductor made of equal blocks of a network: its folder, and the blocks' numbers."""

    folder: str
    blocks: tuple[int, ...]


class TorchArtifact(NamedTuple):
    """A network's blocks, compiled for one kind of machine. ``name`` is ``aot`` (it has ``libraries``) or ``compile-cache`` (it
    has the ``cache`` that ``torch.compile`` left). ``requires`` and ``minimum``: as of Artifact. ``files``: all of its files."""

    name: str
    libraries: tuple[SharedLibrary, ...]
    cache: str
    requires: Mapping[str, str]
    minimum: Mapping[str, str]
    files: tuple[str, ...]
    key: str


class TorchComponent(NamedTuple):
    """One network in torch. ``byte_ranges``: its weight files, each whole."""

    name: str
    config: str
    precision: str
    byte_ranges: ByteRanges
    key: str
    artifacts: tuple[TorchArtifact, ...] = ()

    @property
    def main_file(self) -> str:
        return self.config


class TorchRuntime(NamedTuple):
    """How torch serves. ``module`` builds the networks. ``compiled``: the setting of image.yaml, ``none`` for nothing."""

    module: str
    device: str
    compiled: str


class File(NamedTuple):
    """``size`` in bytes. ``xxh3``: the 128-bit XXH3 in hexadecimal, empty if it is unknown."""

    size: int
    sha256: str
    origin: str
    xxh3: str = ""


class Warmup(NamedTuple):
    """``tolerance``: the largest absolute difference between an answer and the framework's."""

    request: str
    answer: str
    media_type: str
    tolerance: float


class Limits(NamedTuple):
    """``queue``: how many requests may wait beside those in progress. ``seconds``: the time limit of one request."""

    body_bytes: int = 64 * 1024 * 1024
    queue: int = 16
    seconds: float = 600.0


class MultiModel(NamedTuple):
    """Where the files of one model lie in an image of several models. ``paths`` maps a path of the model, or its first folder, to
    the image's path. Any other path is below the folder ``prefix``. ``files``: the files of all models.
    ``file_bytes``: their size. ``models``: how many there are."""

    image: str
    prefix: str
    paths: Mapping[str, str]
    files: frozenset[str]
    file_bytes: int = 0
    models: int = 1


class Manifest(NamedTuple):
    name: str
    target: str
    checkpoint: str
    module: str
    revision: str
    components: Mapping[str, OnnxComponent | TorchComponent]
    files: Mapping[str, File]
    warmup: Warmup
    limits: Limits
    fallback: str = "warn"
    """``error``: a start ends if it cannot open the best candidate of each component."""
    torch: TorchRuntime | None = None
    multi_model: MultiModel | None = None
    """None for the only model of its image. The paths above are the image's; a model's code uses its own (``place``)."""

    @property
    def listed(self) -> Collection[str]:
        """The paths of all files that the image should have."""
        return self.files if self.multi_model is None else self.multi_model.files

    def place(self, path: str) -> str:
        """The image's path of a file that the model's code knows by ``path``."""
        if self.multi_model is None:
            return path
        folder, slash, rest = path.partition("/")
        paths = self.multi_model.paths
        if path in paths:
            return paths[path]
        return f"{paths[folder]}{slash}{rest}" if folder in paths else f"{self.multi_model.prefix}/{path}"
