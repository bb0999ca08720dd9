"""Which models and components stay in the memory of a container."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from prebake.spec.image.strict_model import Name, StrictModel

Preload = Literal["all", "lazy"] | tuple[Name, ...]
MemorySize = Annotated[str, Field(pattern=r"^[0-9]+([kMGT]|[KMGT]i)?$")]


class Residency(StrictModel):
    """Pins, idle time and memory budgets of models and components."""

    pin: tuple[str, ...] = Field(
        default=(),
        description="Models that are never unloaded by themselves, or components that are never closed; in a multi-model image "
        "a component is written MODEL/COMPONENT",
    )
    idle_seconds: float = Field(
        default=0, ge=0, le=31_536_000, description="A model is unloaded if no request came for so long; 0: never"
    )
    host_memory: MemorySize = Field(
        default="0",
        description="Bytes, as Kubernetes writes them (4Gi, 4G), for weights and model processes. Beyond it, the least recently "
        "used model makes room for another; in one model, the least recently used component. 0: no budget",
    )
    device_memory: MemorySize = Field(default="0", description="The same for weights in the GPU's memory")
