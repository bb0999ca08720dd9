"""``image.yaml`` as frozen models: what an image is made of. ``docs/image.schema.json`` is this module's JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from prebake.spec.image.component import ComponentSpec
from prebake.spec.image.gate import GateSpec
from prebake.spec.image.licenses import LicenseInvalid, canonical_license
from prebake.spec.image.residency import Preload, Residency
from prebake.spec.image.sources import Source
from prebake.spec.image.strict_model import Name, RelativePath, StrictModel
from prebake.spec.image.system_packages import SystemPackage

# It is part of an image reference, where _ may stand neither at the end nor three times in a row.
IMAGE_NAME, IMAGE_NAME_LENGTH = r"^[a-z][a-z0-9]*(_{1,2}[a-z0-9]+)*$", 40
ImageName = Annotated[str, Field(pattern=IMAGE_NAME, max_length=IMAGE_NAME_LENGTH)]
Target = Literal["cpu", "cuda", "tensorrt"]
Runtime = Literal["onnxruntime", "torch"]
Compiled = Literal["auto", "aot", "compile-cache", "none"]
TARGETS: tuple[Target, ...] = ("cpu", "cuda", "tensorrt")


def _spdx(text: str) -> str:
    try:
        return canonical_license(text)
    except LicenseInvalid as error:
        raise PydanticCustomError("license", "{why}", {"why": str(error)}) from error


class License(StrictModel):
    """The license of the weights."""

    id: Annotated[str, AfterValidator(_spdx)] = Field(description="The license, as an SPDX expression or LicenseRef-…")
    requires_acceptance: bool = Field(default=False, description="Whether a build needs --accept-license ID")
    text: RelativePath | None = Field(
        default=None, description="The file of the image's folder that explains the terms"
    )


class Checkpoint(StrictModel):
    """The weight files as published, by source."""

    license: License = Field(description="The license of the weights")
    sources: tuple[Source, ...] = Field(min_length=1, description="Where the files come from")


class Code(StrictModel):
    """The image's Python files by the place where they run: globs relative to the image's folder."""

    serve: tuple[str, ...] = Field(default=("model.py",), description="Files that the container runs")
    torch: tuple[str, ...] = Field(
        default=(), description="More files for targets that torch serves: model_torch.py and its imports"
    )
    export: tuple[str, ...] = Field(default=("export.py",), description="Files that the export stage runs or reads")


class Warmup(StrictModel):
    """The request that a container sends to itself before it is ready."""

    tolerance: float | None = Field(
        default=None,
        ge=0,
        description="Largest absolute difference of the answer from the framework's; replaces the tolerance of "
        "export.py. Needed if a component has another precision than fp32",
    )


class Limits(StrictModel):
    """Limits of the server."""

    body_bytes: int = Field(default=64 * 2**20, gt=0, description="Bytes of a request's body; larger bodies get 413")
    queue: int = Field(
        default=16, ge=0, description="Requests that may wait for a worker; further requests get 503 with Retry-After"
    )
    seconds: int = Field(
        default=600,
        gt=0,
        description="Seconds for a body to arrive (else 408), and for the model to answer (else 504)",
    )


class Serving(StrictModel):
    """Further protocols of the container, besides REST."""

    grpc: bool = Field(
        default=False,
        description="Whether the container also speaks the Open Inference Protocol over gRPC, at port 8001. It adds grpcio to "
        "the image's packages",
    )


class Batching(StrictModel):
    """Limits of the batches of a model that has them. A container's variables replace them."""

    size: int | None = Field(
        default=None,
        ge=1,
        le=65536,
        description="The most that a batch may have, if the model allows so much; 1: requests are answered one by one. "
        "Without it, the model's limit",
    )
    wait: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Seconds after a batch in which the clients that it answered may ask again, before a smaller batch begins. "
        "Without it, the model's",
    )


class Resources(StrictModel):
    """Kubernetes resource requests. Without them, a multi-model image requests its models' memory together and the most CPUs that
    one of them requests."""

    cpu: str = Field(default="2", pattern=r"^[0-9]+(\.[0-9]+)?m?$", description="CPUs, as Kubernetes writes them")
    memory: str = Field(
        default="4Gi", pattern=r"^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?$", description="Memory, as Kubernetes writes it"
    )


class ServedModel(StrictModel):
    """One model of a multi-model image. Its name is that of another image of the project."""

    checkpoint: Name | None = Field(
        default=None, description="One of that image's checkpoints; without it, its default one"
    )


IMAGE_SCHEMA = 2
"""The schema of image.yaml that this version reads and writes."""

ONE_MODEL_KEYS = ("checkpoint", "checkpoints", "components")
"""The keys of an image with one model; an image of several models has ``models`` in their place."""


def _either(schema: dict[str, Any]) -> None:
    """The published schema requires one set of keys or the other."""
    schema["oneOf"] = [{"required": list(ONE_MODEL_KEYS)}, {"required": ["models"]}]


class ImageSpec(StrictModel):
    """The whole of ``image.yaml``."""

    model_config = ConfigDict(json_schema_extra=_either)

    schema_: Literal[2] = Field(alias="schema", description="The version of this file's format")
    name: ImageName = Field(description="The image's name, which is that of its folder in images/")
    title: str = Field(description="The model's name for people; it becomes a label of the image")
    description: str = Field(default="", description="What the model does; it becomes a label of the image")
    base: str = Field(default="python:3.11-slim-bookworm", description="The base image; weights.lock pins its digest")
    system_packages: tuple[SystemPackage, ...] = Field(
        default=(),
        description="Debian packages of system libraries, such as libgl1; weights.lock pins them and their "
        "dependencies",
    )
    targets: tuple[Target, ...] = Field(
        default=("cpu",), min_length=1, description="The kinds of hardware that the image can be built for"
    )
    runtime: dict[Target, Runtime] = Field(
        default={}, description="The runtime of the components, by target; onnxruntime for targets that are not named"
    )
    compiled: dict[Target, Compiled] = Field(
        default={},
        description="How networks in torch are compiled, by target. auto, the default of a target that torch serves: "
        "`prebake compile` keeps the form with which a start and ten answers take the least time, if one saves enough",
    )
    models: dict[Name, ServedModel] = Field(
        default={},
        min_length=2,
        description="Other images of the project that one server serves, by name; each keeps its own image.yaml and "
        "lock. It takes the place of checkpoint, checkpoints and components",
    )
    checkpoint: Name = Field(default="", description="The checkpoint of a build without --checkpoint")
    checkpoints: dict[Name, Checkpoint] = Field(default={}, min_length=1, description="The checkpoints, by name")
    components: dict[Name, ComponentSpec] = Field(default={}, min_length=1, description="The sub-models, by name")
    code: Code = Field(default=Code(), description="The image's Python files")
    notices: tuple[RelativePath, ...] = Field(
        default=(), description="License texts of the image's folder that are put into the image"
    )
    warmup: Warmup = Field(default=Warmup(), description="The warm-up request")
    fallback: Literal["warn", "error"] = Field(
        default="warn",
        description="What a container does if it cannot open a component with the best artifact or execution provider of "
        "the image. warn: use the next one and log it. error: exit with 79",
    )
    limits: Limits = Field(default=Limits(), description="Limits of the server")
    mode: Literal["standard", "performance"] = Field(
        default="standard",
        description="performance: everything stays in memory, each bucket runs before the container is ready, and graphs on a "
        "CPU get prepacked copies of their weights",
    )
    preload: Preload = Field(
        default="all",
        description="The models that a start loads: all, lazy for none, or a list of names. Requests load the others",
    )
    residency: Residency = Field(
        default=Residency(), description="Pins, idle time and memory budgets of models and components"
    )
    serving: Serving = Field(default=Serving(), description="Further protocols of the container, besides REST")
    batching: Batching = Field(
        default=Batching(), description="Limits of the batches in which a model answers requests that wait together"
    )
    gate: GateSpec = Field(default=GateSpec(), description="Limits of a start, for `prebake bench --baseline`")
    resources: Resources = Field(default=Resources(), description="Kubernetes resource requests")
