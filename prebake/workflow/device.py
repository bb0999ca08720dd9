"""Whether the Engine has what an image for a GPU is for, and how the image is started where it has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prebake.engine.connection import Connection
from prebake.engine.container_spec import ContainerSpec, ImageMount
from prebake.engine.containers import run_to_end
from prebake.errors import EngineError, PrebakeError
from prebake.plan.runtime import runtime_of
from prebake.plan.values import Plan
from prebake.workflow.baking import GPU_TARGETS
from prebake.workflow.launching import EngineLauncher

_PATIENCE = 120.0


class NoGpu(PrebakeError):
    """What was asked for can be measured on a GPU alone, and the Engine has none."""

    exit_code = 48


@dataclass(frozen=True)
class Device:
    """``wanted``: the image is for a GPU; ``lacking``: why the Engine gives none, in its own words, empty where it does."""

    wanted: bool = False
    lacking: str = ""

    def launcher(self, connection: Connection, volumes: Sequence[ImageMount] = ()) -> EngineLauncher:
        """Containers get every GPU that there is. Without one they may open another way than the best, whatever the image says:
        the CPU's is the only one that can be seen to work here."""
        allowed = {"PREBAKE_FALLBACK": "announce"} if self.lacking else {}
        return EngineLauncher(connection, volumes, -1 if self.wanted and not self.lacking else 0, allowed)

    def require(self, what: str) -> None:
        """Raises NoGpu."""
        if self.lacking:
            raise NoGpu(
                f"{what} of an image for a GPU needs one, and the Engine gives none: {self.lacking}",
                next_action="run it where the Engine has a GPU (NVIDIA Container Toolkit), or say another target",
            )


NONE = Device()
"""Of an image that is for none."""


def find_device(connection: Connection, target: str, image: str) -> Device:
    """By starting a container of ``image`` with a device request: what an Engine says of itself does not tell."""
    if target not in GPU_TARGETS:
        return NONE
    probe = ContainerSpec(image, command=["-c", "pass"], entrypoint=["python3"], gpus=-1)
    try:
        run_to_end(connection, probe, seconds=_PATIENCE)
    except EngineError as refused:
        return Device(wanted=True, lacking=refused.message)
    return Device(wanted=True)


def why_not_on_cpu(plan: Plan, components: Mapping[str, Any]) -> str:
    """Why an image for a GPU cannot answer by a CPU; empty where it can. ``components`` is what the compile stage said."""
    if any(runtime_of(model.spec, plan.target) == "torch" for model in plan.models):
        return f"torch serves it on {plan.target}"
    lacking = [f"{name}: {each['not_compared']}" for name, each in components.items() if "not_compared" in each]
    return "; ".join(lacking)
