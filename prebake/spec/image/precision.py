"""The precision of a component's weights and computation, as ``image.yaml`` has it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prebake.spec.image.strict_model import StrictModel

PrecisionName = Literal["fp32", "fp16", "bf16", "int8", "int4"]
RelativeError = Annotated[
    float,
    Field(
        gt=0,
        lt=1,
        description="The largest relative error allowed for each output of each case: the RMS of the difference from the "
        "framework's output, divided by the RMS of that output; for integers, the share of elements that differ",
    ),
]


class Fp32(StrictModel):
    """As the framework or the published graph computes. The tolerance is estimated from the graph's numbers or set by export.py;
    ``max_relative_error`` replaces it."""

    type: Literal["fp32"] = Field(default="fp32", description="The precision's name")
    max_relative_error: RelativeError | None = None


class Fp16(StrictModel):
    """Weights in IEEE half precision; a GPU target computes in it, a CPU in fp32."""

    type: Literal["fp16"] = Field(description="The precision's name")
    max_relative_error: RelativeError = 0.01


class Bf16(StrictModel):
    """Weights in bfloat16; a GPU target computes in it, a CPU in fp32."""

    type: Literal["bf16"] = Field(description="The precision's name")
    max_relative_error: RelativeError = 0.05


class Int8(StrictModel):
    """Weights and activations in eight bits."""

    type: Literal["int8"] = Field(description="The precision's name")
    activations: Literal["dynamic", "static"] = Field(
        default="dynamic",
        description="Where the ranges of activations come from: computed at run time (dynamic), or a calibration set (static)",
    )
    per_channel: bool = Field(default=True, description="One scale per output channel instead of one per matrix")
    reduce_range: bool = Field(
        default=True,
        description="Weights in seven bits. With eight bits, sums overflow (saturate) on x86 processors without VNNI",
    )
    embeddings: bool = Field(
        default=True, description="Quantize embeddings (weights of Gather) too, not only MatMul weights"
    )
    calibration: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)*\.npz$",
        description="The calibration set: a file of the image's folder with one array per input, whose first axis counts samples",
    )
    max_relative_error: RelativeError = 0.25


class Int4(StrictModel):
    """Weights of MatMul in four bits with one scale per block of a column; computed in fp32."""

    type: Literal["int4"] = Field(description="The precision's name")
    block_size: Literal[16, 32, 64, 128, 256] = Field(
        default=32, description="The number of weights of a column that share a scale"
    )
    symmetric: bool = Field(
        default=False, description="`true`: a block of weights has a scale only; `false`: it has a zero point, too"
    )
    embeddings: bool = Field(default=True, description="Quantize embeddings (weights of Gather) too, in eight bits")
    max_relative_error: RelativeError = 0.5


def _from_name(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


_PrecisionModel = Annotated[Fp32 | Fp16 | Bf16 | Int8 | Int4, Field(discriminator="type")]
Precision = Annotated[
    _PrecisionModel, BeforeValidator(_from_name, json_schema_input_type=PrecisionName | _PrecisionModel)
]
"""A name alone stands for that type with its defaults."""
