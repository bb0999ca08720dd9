"""One component of ``image.yaml``: its graph, weights, precision, session and shapes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from prebake.spec.part import Name, Part, RelativePath
from prebake.spec.precision import Fp32, Precision
from prebake.spec.provider_options import CudaOptions, TensorrtOptions

# An element type, and lengths or names of free axes: float32[batch, 3, 224, 224].
_AXIS = r"([1-9][0-9]*|[A-Za-z_][A-Za-z0-9_.]*)"
TENSOR_TYPE = rf"^(bool|u?int(8|16|32|64)|float(16|32|64))\[ *({_AXIS}( *, *{_AXIS})*)? *\]$"
TensorType = Annotated[str, Field(pattern=TENSOR_TYPE)]
Bucket = Annotated[dict[str, Annotated[int, Field(gt=0)]], Field(min_length=1)]


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
