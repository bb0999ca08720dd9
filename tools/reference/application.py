"""The server's own application in each state of a start, and requests to it: the reference pages are written from its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from entrypoints.errors import ManifestFault
from entrypoints.forms.limits import RequestMemory
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.app import App
from entrypoints.server.response_writer import Message, Receive, Scope, Send
from entrypoints.server.served_model import ServedModel
from entrypoints.server.usage import ServerUsage
from entrypoints.settings import Settings


class Answer(NamedTuple):
    status: int
    media_type: str
    headers: Mapping[str, str]
    body: bytes


def make_app(names: tuple[str, ...], state: str) -> App:
    """The server's application in a state of its start; its models have no processes."""
    timeline, status = Timeline(), Status()
    models = []
    for name in names:
        own = Status() if name else status
        model = ServedModel(
            name=name,
            settings=Settings(),
            status=own,
            timeline=timeline,
            channel=cast(Any, None),
            process=0,
            memory=RequestMemory(),
        )
        models.append(model)
    for each in {status, *(model.status for model in models)}:
        if state == "ready":
            each.become_ready()
        elif state == "failed":
            each.fail(ManifestFault("none"))
        elif state == "draining":
            each.drain()
    return App(models, status, timeline, ServerUsage(RequestMemory()), Settings())


def call(app: App, method: str, path: str) -> Answer:
    """Send a request without a body to the application."""
    return asyncio.run(_call(app, method, path))


async def _call(app: App, method: str, path: str) -> Answer:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": method, "path": path, "headers": [], "state": {}}
    await app(scope, cast(Receive, receive), cast(Send, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers["content-type"], headers, b"".join(each["body"] for each in sent[1:]))
