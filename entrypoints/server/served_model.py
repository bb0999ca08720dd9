"""One model as the server process sees it: its status, the record of its start, the link to its process, its usage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from entrypoints.errors import Fault
from entrypoints.forms.limits import RequestMemory
from entrypoints.processes.channel import Channel
from entrypoints.processes.events import Ready
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.generate import GenerateEndpoint
from entrypoints.server.model_link import ModelLink
from entrypoints.server.usage import Usage
from entrypoints.settings import Settings

if TYPE_CHECKING:
    import asyncio
    from typing import Protocol

    from entrypoints.open_inference.statistics import ModelStatistics

    class Residency(Protocol):
        """``entrypoints.server.residency.residency``, which uses this module."""

        async def load(self, model: ServedModel) -> None: ...

        async def unload(self, model: ServedModel) -> None: ...

        async def require(self, model: ServedModel, deadline: float, disconnected: asyncio.Future[None]) -> None: ...


Availability = Literal["loaded", "unloading", "unloaded", "loading", "restarting"]


class ServedModel:
    """``name`` is empty if the image has one model: its status and timeline are the server's then."""

    def __init__(
        self,
        *,
        name: str,
        settings: Settings,
        status: Status,
        timeline: Timeline,
        channel: Channel,
        process: int,
        memory: RequestMemory,
    ) -> None:
        """``process`` is the id of the model process, at the other end of the channel. ``memory``: of all models' requests."""
        self.name = name
        self.status = status
        self.timeline = timeline
        self.usage = Usage()
        self.link = ModelLink(
            name=name,
            workers=settings.workers,
            hang_margin=settings.hang_margin,
            status=status,
            timeline=timeline,
            channel=channel,
            process=process,
        )
        self.availability: Availability = "loaded"
        """Changes only once the model has started: ``entrypoints.server.residency`` unloads and loads it."""
        self.on_demand = True
        """Whether a request loads the model if it is unloaded; False after an operator unloaded it."""
        self.never_loaded = False
        """Whether no process of this container has had the model in memory by now."""
        self.loaded_at_start = True
        self.recover: Callable[[Fault], None] | None = None
        """As ``entrypoints.server.model_link.ModelLink.recover``, for each of its processes in turn."""
        self.ended_by = ""
        """While it is restarted: why its process has ended."""
        self.find_residency: Callable[[], Residency] = find_no_residency
        """Gives the object that loads and unloads models; it is made when it is needed first."""
        self.generate = GenerateEndpoint(self, memory)
        self.statistics: dict[str, ModelStatistics] = {}
        """By the component that was asked, empty for the model's own code."""

    @property
    def state(self) -> str:
        """``starting``, ``ready``, ``failed`` or ``draining``; or ``unloading``, ``unloaded`` or ``loading``."""
        if self.status.state == "ready" and self.availability != "loaded":
            return self.availability
        return self.status.state

    @property
    def accepts(self) -> bool:
        """Whether a request is answered, although it may have to wait until the model is loaded."""
        return self.status.state == "ready" and (
            self.availability == "loaded" or (self.on_demand and self.availability != "restarting")
        )

    @property
    def is_loaded(self) -> bool:
        return self.availability == "loaded"

    async def require_loaded(self, deadline: float, disconnected: asyncio.Future[None]) -> None:
        """As ``entrypoints.server.residency.residency.Residency.require``."""
        await self.find_residency().require(self, deadline, disconnected)

    @property
    def is_unused(self) -> bool:
        return self.status.state == "ready" and self.is_loaded and not self.usage.unanswered

    def adopt(self, link: ModelLink, timeline: Timeline) -> None:
        """A process that was started later takes the place of the one before. ``timeline`` has the record of its start; the
        model keeps that of the container's start if it has one."""
        if self.never_loaded:
            self.timeline.take_over(timeline)
        self.link, self.never_loaded = link, False
        link.follow(self.status, self.timeline, self.recover)

    @property
    def label(self) -> str:
        """The name that clients know it by, in an image of one model too; empty until that one's manifest is read."""
        return self.name or (self.timeline.manifest.name if self.timeline.manifest else "")

    @property
    def device(self) -> str:
        target = self.timeline.manifest.target if self.timeline.manifest else "unknown"
        return "cuda" if target.startswith(("cuda", "tensorrt")) else target

    @property
    def path(self) -> str:
        """Its endpoint. With a name, that of Triton's generate extension of the Open Inference Protocol."""
        return f"/v2/models/{self.name}/generate" if self.name else "/generate"


def find_no_residency() -> Residency:
    raise RuntimeError("the server process sets what loads and unloads models")


def follow_models(models: Sequence[ServedModel], status: Status, timeline: Timeline) -> None:
    """The server's status follows from its models': it is ready with the last of them, and failed with the first."""

    def become_ready(_: object) -> None:
        if all(model.status.state == "ready" for model in models):
            timeline.apply(Ready(max(model.timeline.ready_seconds or 0.0 for model in models)))
            status.follow(timeline)

    def watch(model: ServedModel) -> None:
        model.status.decided.add_done_callback(become_ready)
        model.status.failed.add_done_callback(lambda _: model.status.fault and status.fail(model.status.fault))

    for model in models:
        watch(model)
