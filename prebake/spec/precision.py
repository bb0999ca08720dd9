"""In which numbers a component's weights are kept and computed, as ``image.yaml`` says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PrecisionName = Literal["fp32", "fp16", "bf16", "int8", "int4"]
Bound = Annotated[
    float,
    Field(
        gt=0,
        lt=1,
        description="Largest relative error: rms of the difference from the framework's output over the rms of that "
        "output, for each output of each case; of whole numbers the share that differs",
    ),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Fp32(_Part):
    """As the framework computes, or as a published graph does. What an answer may differ by follows from its numbers, or from
    export.py; a ``bound`` takes the place of that."""

    type: Literal["fp32"] = "fp32"
    bound: Bound | None = None


class Fp16(_Part):
    """Weights in IEEE half precision; computed in it where the target is no CPU."""

    type: Literal["fp16"]
    bound: Bound = 0.01


class Bf16(_Part):
    """Weights in bfloat16; computed in it where the target is no CPU."""

    type: Literal["bf16"]
    bound: Bound = 0.05


class Int8(_Part):
    """Weights in eight bits; activations too, in ranges found at run time (dynamic) or from a calibration set (static)."""

    type: Literal["int8"]
    activations: Literal["dynamic", "static"] = "dynamic"
    per_channel: bool = Field(default=True, description="A scale for each output channel, not one for the whole matrix")
    reduce_range: bool = Field(
        default=True,
        description="Weights in seven bits: sums of products saturate on x86 processors without VNNI otherwise",
    )
    embeddings: bool = Field(default=True, description="Tables that are looked up in too, not only matrix products")
    calibration: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)*\.npz$",
        description="A file of the image's folder: an array for each input, the samples along its first axis",
    )
    bound: Bound = 0.25


class Int4(_Part):
    """Weights of matrix products in four bits, a scale for each block of a column; computed in fp32."""

    type: Literal["int4"]
    block: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = Field(default=False, description="No zero point for each block")
    embeddings: bool = Field(default=True, description="Tables that are looked up in too, in eight bits")
    bound: Bound = 0.5


def _named(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


_Described = Annotated[Fp32 | Fp16 | Bf16 | Int8 | Int4, Field(discriminator="type")]
Precision = Annotated[_Described, BeforeValidator(_named, json_schema_input_type=PrecisionName | _Described)]
"""A name alone is the plain form of that type."""
