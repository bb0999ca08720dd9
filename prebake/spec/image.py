"""``image.yaml`` as frozen models: what an image is made of. ``docs/image.schema.json`` is this module's JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from prebake.spec.component import Component
from prebake.spec.licences import LicenceInvalid, canonical_licence
from prebake.spec.part import Name, Part, RelativePath
from prebake.spec.sources import Source
from prebake.spec.system import SystemPackage

# A part of an image's reference: no _ at its end, and no three of them.
IMAGE_NAME, IMAGE_NAME_LENGTH = r"^[a-z][a-z0-9]*(_{1,2}[a-z0-9]+)*$", 40
ImageName = Annotated[str, Field(pattern=IMAGE_NAME, max_length=IMAGE_NAME_LENGTH)]
Target = Literal["cpu", "cuda", "tensorrt"]
Runtime = Literal["onnxruntime", "torch"]
Compiled = Literal["measured", "aot", "compile-cache", "none"]
TARGETS: tuple[Target, ...] = ("cpu", "cuda", "tensorrt")


def _spdx(text: str) -> str:
    try:
        return canonical_licence(text)
    except LicenceInvalid as error:
        raise PydanticCustomError("licence", "{why}", {"why": str(error)}) from error


class Licence(Part):
    """The terms that the weights are under."""

    id: Annotated[str, AfterValidator(_spdx)] = Field(description="SPDX expression, or LicenseRef-…")
    acceptance: bool = Field(default=False, description="Whoever builds has to say --accept-licence ID")
    text: RelativePath | None = Field(default=None, description="Where in the image's folder the terms are explained")


class Checkpoint(Part):
    """The weight files as published, by where they come from."""

    licence: Licence
    sources: tuple[Source, ...] = Field(min_length=1)


class Code(Part):
    """Which of the image's Python files run where; globs relative to the image's folder."""

    serve: tuple[str, ...] = ("model.py",)
    torch: tuple[str, ...] = Field(
        default=(), description="Served besides, where torch serves: model_torch.py, and what it imports"
    )
    export: tuple[str, ...] = ("export.py",)


class Warmup(Part):
    """The request that a starting container answers to itself."""

    tolerance: float | None = Field(
        default=None,
        ge=0,
        description="Largest absolute difference of its answer from the framework's, instead of export.py's; what a "
        "component of another precision than fp32 asks for",
    )


class Limits(Part):
    """What the server takes on."""

    body_bytes: int = Field(default=64 * 2**20, gt=0)
    queue: int = Field(default=16, ge=0)
    seconds: int = Field(default=600, gt=0)


class Resources(Part):
    """What a deployed container asks Kubernetes for; where an image of several models says nothing, its models' memory
    together, and the most processors that one of them asks for."""

    cpu: str = Field(default="2", pattern=r"^[0-9]+(\.[0-9]+)?m?$")
    memory: str = Field(default="4Gi", pattern=r"^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?$")


class Model(Part):
    """One model of an image of several: the image of the project that it is by itself."""

    checkpoint: Name | None = Field(default=None, description="One of its checkpoints, if not its default")


IMAGE_SCHEMA = 1
"""The newest of image.yaml that this version reads."""

OWN = ("checkpoint", "checkpoints", "components")
"""What an image of one model says of it; one of several says ``models`` in their place."""


def _either(schema: dict[str, Any]) -> None:
    """In the published schema one set of keys or the other is required."""
    schema["oneOf"] = [{"required": list(OWN)}, {"required": ["models"]}]


class ImageSpec(Part):
    """The whole of ``image.yaml``."""

    model_config = ConfigDict(json_schema_extra=_either)

    schema_: Literal[1] = Field(alias="schema")
    name: ImageName
    title: str
    description: str = ""
    base: str = Field(
        default="python:3.11-slim-bookworm", description="Base image; its digest is pinned in weights.lock"
    )
    system: tuple[SystemPackage, ...] = Field(
        default=(),
        description="Debian packages of system libraries, such as libgl1; weights.lock pins them with what they depend on",
    )
    targets: tuple[Target, ...] = Field(default=("cpu",), min_length=1)
    runtime: dict[Target, Runtime] = Field(
        default={}, description="What opens the components, by target: onnxruntime where none is named"
    )
    compiled: dict[Target, Compiled] = Field(
        default={},
        description="What is compiled of networks in torch, by target: where none is named what starts soonest, as measured",
    )
    models: dict[Name, Model] = Field(
        default={}, min_length=2, description="Other images of the project, served together; each keeps spec and lock"
    )
    checkpoint: Name = Field(default="", description="The checkpoint that is built when none is named")
    checkpoints: dict[Name, Checkpoint] = Field(default={}, min_length=1)
    components: dict[Name, Component] = Field(default={}, min_length=1)
    code: Code = Code()
    notices: tuple[RelativePath, ...] = Field(
        default=(), description="Licence texts of the image's folder that it ships"
    )
    warmup: Warmup = Warmup()
    fallback: Literal["announce", "error"] = Field(
        default="announce",
        description="Where a container cannot open a component in the best way that was baked: the next one, which is told, or "
        "its end (79)",
    )
    limits: Limits = Limits()
    resources: Resources = Resources()
