"""Whether the Engine gives containers a GPU, and how an image for a GPU is started without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec, ImageMount
from prebake.docker.containers.containers import run_to_end
from prebake.errors import EngineError, PrebakeError
from prebake.plan.runtime import runtime_of
from prebake.plan.values import GPU_TARGETS, Plan
from prebake.workflow.start_check.launcher import EngineLauncher

PROBE_SECONDS = 120.0


class NoGpu(PrebakeError):
    """``bench`` or ``demo`` was asked for an image for a GPU, and the Engine gives containers none. The message has
    the Engine's reason."""

    exit_code = 48


@dataclass(frozen=True)
class GpuAccess:
    """``required``: the image is for a GPU. ``unavailable``: the Engine's own reason for giving none, empty if it gives one."""

    required: bool = False
    unavailable: str = ""

    def launcher(self, connection: Connection, volumes: Sequence[ImageMount] = ()) -> EngineLauncher:
        """Pass all GPUs to the container. On an Engine without one, allow the fallback to a CPU even if the image sets
        ``fallback: error``: it is the only provider that can be checked here."""
        allowed = {"PREBAKE_FALLBACK": "warn"} if self.unavailable else {}
        return EngineLauncher(connection, volumes, -1 if self.required and not self.unavailable else 0, allowed)

    def require(self, what: str) -> None:
        """Raises NoGpu."""
        if self.unavailable:
            raise NoGpu(
                f"{what} of an image for a GPU needs a GPU, and the Engine has none: {self.unavailable}",
                next_action="run it on a machine whose Engine has a GPU (NVIDIA Container Toolkit), or choose another target",
            )


NO_GPU_NEEDED = GpuAccess()
"""For an image that is not for a GPU."""


def find_gpu(connection: Connection, target: str, image: str) -> GpuAccess:
    """Try to start a container of ``image`` with a device request: an Engine's own facts do not say whether it has a GPU."""
    if target not in GPU_TARGETS:
        return NO_GPU_NEEDED
    probe = ContainerSpec(image, command=["-c", "pass"], entrypoint=["python3"], gpus=-1)
    try:
        run_to_end(connection, probe, seconds=PROBE_SECONDS)
    except EngineError as refused:
        return GpuAccess(required=True, unavailable=refused.message)
    return GpuAccess(required=True)


def cpu_obstacle(plan: Plan, components: Mapping[str, Any]) -> str:
    """Why an image for a GPU cannot run on a CPU; empty if it can. ``components`` is the compile stage's report."""
    if any(runtime_of(model.spec, plan.target) == "torch" for model in plan.models):
        return f"torch serves it, and only on {plan.target}"
    reasons = [f"{name}: {report['not_compared']}" for name, report in components.items() if "not_compared" in report]
    return "; ".join(reasons)
