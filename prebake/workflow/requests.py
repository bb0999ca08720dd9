"""What a workflow is asked for: one frozen value per command, made of its flags.

Commands import this module on every call of the command line, so it imports values of the spec, the plan and
prebake.oci, and nothing that has effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prebake.oci.layers.compression import Compression
from prebake.plan.image_metadata import Metadata
from prebake.plan.values import DEFAULT_STARTS, Options
from prebake.spec.image.image import Target

Weights = Literal["baked", "volume"]
State = Literal["warm", "cold", "absent"]
"""What a machine has of an image before a timed start: its files in the page cache, on its disk only, or nothing."""


@dataclass(frozen=True)
class BuildRequest:
    """One image, and where it goes.

    outputs: places as ``--output`` names them; the image is started and compared at ``docker`` alone.
    platform: as ``linux/amd64``; None for the Engine's own. starts: timed starts for the report.
    naive: build the naive image as well. size: bytes of the sample checkpoint's weights, as ``1GB``; None for the locked size.
    cache_from: references whose repositories have layers and artifacts to reuse; the build writes nothing there.
    by_digest: registries get the image without a tag. plan: print the build instead of running it. json: print for programs.
    labels: ``KEY=VALUE`` of the command line.
    """

    root: Path
    model: str
    options: Options = field(default_factory=Options)
    accepted_licenses: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("docker",)
    starts: int = DEFAULT_STARTS
    platform: str | None = None
    labels: tuple[str, ...] = ()
    plan: bool = False
    json: bool = False
    base: str = "auto"
    compression: Compression = "auto"
    weights: Weights = "baked"
    require_attestations: bool = False
    cache_from: tuple[str, ...] = ()
    by_digest: bool = False
    naive: bool = False
    size: str | None = None

    @property
    def registries(self) -> list[str]:
        """The references of the registries that the build pushes to."""
        return [text.partition(":")[2] for text in self.outputs if text.startswith("registry:")]


@dataclass(frozen=True)
class RenderRequest:
    """A context for ``docker buildx build`` in ``folder``. Compiled artifacts come from the store and from the repositories of
    ``registries`` and ``cache_from``."""

    root: Path
    model: str
    options: Options
    folder: Path
    accepted_licenses: tuple[str, ...] = ()
    registries: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    json: bool = False


@dataclass(frozen=True)
class BakeFileRequest:
    """Contexts in ``folder``, and the file that builds them. Without ``models`` or ``targets`` it is for all of them."""

    root: Path
    folder: Path
    models: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    accepted_licenses: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    compression: Compression = "auto"


@dataclass(frozen=True)
class CompileRequest:
    """Artifacts for this machine.

    push: references whose repositories get the artifacts. engine: compile in a container, not in this Python.
    keep_all: keep artifacts that cost more bytes than they save time.
    """

    root: Path
    model: str
    options: Options = field(default_factory=Options)
    accepted_licenses: tuple[str, ...] = ()
    push: tuple[str, ...] = ()
    base: str = "auto"
    engine: bool = True
    keep_all: bool = False
    json: bool = False


@dataclass(frozen=True)
class ExplainRequest:
    """The layers of one image. ``registry`` is a reference whose repository is asked as well."""

    root: Path
    model: str
    options: Options
    base: str = "auto"
    registry: str | None = None
    compression: Compression = "auto"
    json: bool = False


@dataclass(frozen=True)
class VerifyRequest:
    """Is ``reference`` the image of these options, and ``weights_image``, if given, its /models?"""

    root: Path
    model: str
    options: Options
    reference: str
    weights_image: str | None = None
    json: bool = False


@dataclass(frozen=True)
class DeployRequest:
    """Kubernetes objects. ``image`` and ``weights_image`` are references by tag or digest; None for those of the report."""

    root: Path
    model: str
    options: Options
    image: str | None = None
    weights_image: str | None = None
    replicas: int = 1


ADDRESS_VARIABLES = frozenset({"PREBAKE_HOST", "PREBAKE_PORT"})
"""Variables of the container that would make a published port reach nothing."""


@dataclass(frozen=True)
class RunRequest:
    """A container on this machine's Engine.

    port: of 127.0.0.1; None for the first free one from 8000 on. environment: variables of the container. watch: follow changes
    of the code. build: build the image first. open: open the page in a browser. json: print the container's log as it is.
    """

    root: Path
    model: str
    options: Options = field(default_factory=Options)
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    watch: bool = False
    build: bool = False
    open: bool = False
    json: bool = False
    accepted_licenses: tuple[str, ...] = ()


@dataclass(frozen=True)
class InitRequest:
    """A new image ``name`` from the checkpoint at ``origin``.

    license: an SPDX expression; None for the model card's. inputs: types and shapes by input, for a checkpoint that lacks them.
    file: a file or folder of the origin to start from; empty to choose. sample: a file of real inputs.
    """

    root: Path
    name: str
    origin: str
    license: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    sample: Path | None = None


@dataclass(frozen=True)
class CachePruneRequest:
    """``keep``: the projects whose objects stay; None to remove unfinished downloads only."""

    keep: tuple[Path, ...] | None = None
    dry_run: bool = False
    json: bool = False


@dataclass(frozen=True)
class UpgradeRequest:
    """``models`` are images of the project; empty for all of them. ``check`` writes nothing."""

    root: Path
    models: tuple[str, ...] = ()
    check: bool = False
