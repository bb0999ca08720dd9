"""The endpoints, as one ASGI application without a framework: a few fixed paths need no router."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from entrypoints.fields import describe_fields
from entrypoints.forms import Disconnected
from entrypoints.link import ModelLink
from entrypoints.replies import Outlet, Receive, Reply, Scope, Send, error_reply, json_reply
from entrypoints.served import ServedModel
from entrypoints.status import Status
from entrypoints.telemetry import MEDIA_TYPE, Telemetry
from entrypoints.timeline import Timeline
from entrypoints.waiting import read_patience, wait_for, wait_until_gone

GENERATE = "/generate"
READY = "/v2/health/ready"
MODELS = "/v2/models"
CLIENT_LEFT = 499
LONGEST_WAIT = 3600.0
"""Seconds for which a question about readiness is held at most."""


class App:
    def __init__(self, models: Sequence[ServedModel], status: Status, telemetry: Telemetry, heartbeat: float) -> None:
        self._heartbeat = heartbeat
        self._models = {model.path: model for model in models}
        self._only = models[0] if not models[0].name else None
        self._status = status
        self._telemetry = telemetry
        self._waited = {f"{MODELS}/{model.name}/ready": model.status for model in models if model.name} | {
            READY: status
        }
        self._pages: dict[str, Callable[[], Reply]] = {
            "/": self.show_index,
            "/health": self.show_health,
            "/metrics": self.show_metrics,
            "/startup": self.show_startup,
            "/v2/health/live": self.show_live,
            **{path: partial(show_ready, status) for path, status in self._waited.items()},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        outlet = self._choose_outlet(scope, send)
        reply = await self._respond(scope, path, receive, outlet)
        known = path if path in self._pages or path in self._models else "other"
        self._telemetry.requests[known, CLIENT_LEFT if reply is None else reply.status] += 1
        if reply is not None:
            await outlet.finish(reply)

    def _choose_outlet(self, scope: Scope, send: Send) -> Outlet:
        accepted = dict(scope["headers"]).get(b"accept", b"").lower()
        if scope["path"] in self._models and b"text/event-stream" in accepted:
            from entrypoints.events import EventStream, accepts_events  # only here: no start waits for what few ask for

            if accepts_events(accepted):
                return EventStream(send, self._heartbeat)
        return Outlet(send)

    async def _respond(self, scope: Scope, path: str, receive: Receive, outlet: Outlet) -> Reply | None:
        method = scope["method"]
        if model := self._models.get(path):
            if method != "POST":
                return refuse_method(method, path, "POST")
            return await model.generate.respond(dict(scope["headers"]), receive, outlet)
        page = self._pages.get(path)
        if page is None:
            return self._refuse_path(path)
        if method not in ("GET", "HEAD"):
            return refuse_method(method, path, "GET, HEAD")
        status = self._waited.get(path)
        if status and not await self._wait_until_settled(status, dict(scope["headers"]), receive):
            return None
        return page()

    def _refuse_path(self, path: str) -> Reply:
        if self._only is None and (path == GENERATE or path.startswith(f"{MODELS}/")):
            names = ", ".join(f"POST {path}" for path in self._models)
            return error_reply(404, f"There is nothing at {path}; this server has several models: {names}.")
        return error_reply(404, f"There is nothing at {path}; GET / lists what there is.")

    async def _wait_until_settled(self, status: Status, headers: Mapping[bytes, bytes], receive: Receive) -> bool:
        """As long as ``Prefer: wait=N`` says, so that whoever waits for readiness need not ask again and again.

        False where the client went away.
        """
        patience = min(read_patience(headers), LONGEST_WAIT) if status.state == "starting" else 0.0
        if not patience:
            return True
        gone = asyncio.ensure_future(wait_until_gone(receive))
        try:
            await wait_for(status.settled, gone, patience)
        except Disconnected:
            return False
        finally:
            gone.cancel()
        return True

    def show_index(self) -> Reply:
        endpoints = [*(f"GET {path}" for path in self._pages), *(f"POST {path}" for path in self._models)]
        if self._only is not None:
            document = describe_model(self._only)
            return json_reply(200, {**document, "endpoints": endpoints, "fields": document.pop("fields")})
        manifests = [model.link.manifest for model in self._models.values()]
        image = next((each.joint.image for each in manifests if each and each.joint), None)
        models = {model.name: describe_model(model) for model in self._models.values()}
        return json_reply(200, {"name": image, "status": self._status.state, "endpoints": endpoints, "models": models})

    def show_health(self) -> Reply:
        document = {
            "status": self._status.state,
            "device": next(iter(self._models.values())).link.device,
            "timestamp": write_time(datetime.now(UTC)),
            "reason": self._status.reason,
            "fallbacks": [step for model in self._models.values() for step in told(model)],
        }
        return json_reply(200 if self._status.state == "ready" else 503, document)

    def show_live(self) -> Reply:
        live = self._status.state != "failed"
        return json_reply(200 if live else 503, {"live": live})

    def show_startup(self) -> Reply:
        started = write_time(datetime.fromtimestamp(self._telemetry.timeline.process_started, UTC))
        if self._only is not None:
            account = {**describe_start(self._status, self._telemetry.timeline), **describe_link(self._only.link)}
        else:
            account = describe_start(self._status, self._telemetry.timeline)
            account["models"] = {
                model.name: {**describe_start(model.status, model.timeline), **describe_link(model.link)}
                for model in self._models.values()
            }
        return json_reply(200, {"process_started": started, **account})

    def show_metrics(self) -> Reply:
        return Reply(200, self._telemetry.render(list(self._models.values())).encode(), MEDIA_TYPE)


def describe_model(model: ServedModel) -> dict[str, object]:
    manifest = model.link.manifest
    return {
        "name": manifest and manifest.name,
        "checkpoint": manifest and manifest.checkpoint,
        "target": manifest and manifest.target,
        "status": model.status.state,
        "fields": describe_fields(model.link.fields),
    }


def describe_start(status: Status, timeline: Timeline) -> dict[str, object]:
    ready = timeline.ready_seconds
    return {
        "state": status.state,
        "reason": status.reason,
        "ready_seconds": None if ready is None else round(ready, 4),
        "phases": timeline.describe_phases(),
        "imports": timeline.imports,
        "notices": timeline.notices,
        "opened": timeline.opened,
        "fallbacks": timeline.fallbacks,
    }


def told(model: ServedModel) -> list[dict[str, str]]:
    """A model's steps down the ladder, with its name where there are several."""
    name = {"model": model.name} if model.name else {}
    return [{**name, **step} for step in model.timeline.fallbacks]


def describe_link(link: ModelLink) -> dict[str, object]:
    return {"threads": link.threads, "verify": link.verify, "extra_files": link.extra_files}


def show_ready(status: Status) -> Reply:
    ready = status.state == "ready"
    return json_reply(200 if ready else 503, {"ready": ready})


def refuse_method(method: str, path: str, allowed: str) -> Reply:
    return error_reply(405, f"{path} answers {allowed}, not {method}.", headers={"allow": allowed})


def write_time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
