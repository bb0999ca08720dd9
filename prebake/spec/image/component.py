"""One component of ``image.yaml``: its graph, weights, precision, session and shape buckets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from prebake.spec.image.precision import Fp32, Precision
from prebake.spec.image.provider_options import CudaOptions, TensorrtOptions
from prebake.spec.image.strict_model import Name, RelativePath, StrictModel

# A dtype, and lengths or names of dynamic axes: float32[batch, 3, 224, 224].
_AXIS = r"([1-9][0-9]*|[A-Za-z_][A-Za-z0-9_.]*)"
TENSOR_TYPE = rf"^(bool|u?int(8|16|32|64)|float(16|32|64))\[ *({_AXIS}( *, *{_AXIS})*)? *\]$"
TensorType = Annotated[str, Field(pattern=TENSOR_TYPE)]
Bucket = Annotated[dict[str, Annotated[int, Field(gt=0)]], Field(min_length=1)]


class SessionSpec(StrictModel):
    """The ONNX Runtime session of the component's graph."""

    prepack: bool | None = Field(
        default=None,
        description="Whether ONNX Runtime copies the weights into the layout of the CPU's kernels (prepacks them) while it "
        "opens the session: the start is slower, later runs are faster. If it is not given, the build measures both "
        "for components of 64 MiB or more on a CPU; for other components it is off, except for int4",
    )
    cuda: CudaOptions = Field(default=CudaOptions(), description="Options of ONNX Runtime's CUDA execution provider")
    tensorrt: TensorrtOptions = Field(
        default=TensorrtOptions(), description="Options of ONNX Runtime's TensorRT execution provider"
    )


class ComponentSpec(StrictModel):
    """One sub-model: a graph, and its weights in a folder under /models."""

    folder: Name | None = Field(
        default=None,
        description="The folder of the weights under /models; without it, the component's name. Several graphs may "
        "share a folder, as the encoder and the decoder of a VAE do",
    )
    derived: bool | None = Field(
        default=None,
        description="`true`: the export stage makes the weights of the component, since no published file contains them as "
        "the graph needs them. For every precision but fp32 the export stage makes them without this field. `false`, "
        "with fp16 or bf16 only: the published file has that type already, so nothing is made",
    )
    onnx: RelativePath | None = Field(
        default=None, description="The checkpoint's file with the graph in ONNX; it needs no export.py"
    )
    torch: RelativePath | None = Field(
        default=None,
        description="The checkpoint's file with the graph, saved by torch.export (.pt2) or TorchScript",
    )
    inputs: dict[str, TensorType] = Field(
        default={},
        description="Dtypes and shapes of a TorchScript file's inputs, such as float32[batch, 3, 224, 224]",
    )
    precision: Precision = Field(
        default=Fp32(), description="The precision of weights and computation; without it, fp32"
    )
    session: SessionSpec = Field(default=SessionSpec(), description="How ONNX Runtime opens the graph")
    buckets: tuple[Bucket, ...] = Field(
        default=(),
        min_length=1,
        description="Shapes that inputs are padded to, as lengths of the graph's dynamic axes: {batch: 8, tokens: "
        "128}; every bucket names the same axes",
    )
    pad: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        default={},
        description="The padding value of each input. An axis is padded only if `pad` lists every input that has this "
        "axis; otherwise the axis must have the length of a bucket",
    )
    overflow: Literal["error", "dynamic"] = Field(
        default="error",
        description="What to do with an input that does not fit into any bucket: error rejects the request and names the "
        "limits; dynamic runs the graph on it without padding",
    )

    @property
    def published(self) -> str | None:
        """The checkpoint's file that is the graph; None if export.py exports it."""
        return self.onnx or self.torch

    @property
    def reduced(self) -> bool:
        return self.precision.type != "fp32"

    @property
    def makes_weights(self) -> bool:
        """Whether the export stage makes weights of another precision, which the graph reads instead of the published ones."""
        return self.reduced and self.derived is not False
