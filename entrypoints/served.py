"""One model as the server has it: its state, its process, its start, and what it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from entrypoints.channel import Channel
from entrypoints.generate import Generate
from entrypoints.link import ModelLink
from entrypoints.settings import Settings
from entrypoints.status import Status
from entrypoints.telemetry import Usage
from entrypoints.timeline import Timeline


class ServedModel:
    """``name`` is empty where it is the only one, whose state and start are the server's."""

    def __init__(
        self, name: str, settings: Settings, status: Status, timeline: Timeline, channel: Channel, process: int
    ) -> None:
        self.name = name
        self.status = status
        self.timeline = timeline
        self.usage = Usage()
        self.link = ModelLink(settings, status, timeline, channel, process, name)
        self.generate = Generate(status, self.link, self.usage)

    @property
    def path(self) -> str:
        """Where it is asked: as Triton's generate extension of the Open Inference Protocol has it, where it has a name."""
        return f"/v2/models/{self.name}/generate" if self.name else "/generate"


def follow(models: Sequence[ServedModel], status: Status, timeline: Timeline) -> None:
    """Have the server's state follow from the models': ready with the last of them, failed with the first."""

    def become_ready(_: object) -> None:
        if all(model.status.state == "ready" for model in models):
            timeline.ready_seconds = max(model.timeline.ready_seconds or 0.0 for model in models)
            status.become_ready()

    def watch(model: ServedModel) -> None:
        model.status.settled.add_done_callback(become_ready)
        model.status.failed.add_done_callback(lambda _: model.status.fault and status.fail(model.status.fault))

    for model in models:
        watch(model)
