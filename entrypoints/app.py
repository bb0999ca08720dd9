"""The endpoints, as one ASGI application without a framework: a few fixed paths need no router."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from entrypoints.fields import describe_fields
from entrypoints.forms import Disconnected
from entrypoints.generate import Generate
from entrypoints.link import ModelLink
from entrypoints.replies import Outlet, Receive, Reply, Scope, Send, error_reply, json_reply
from entrypoints.status import Status
from entrypoints.telemetry import MEDIA_TYPE, Telemetry
from entrypoints.waiting import read_patience, wait_for, wait_until_gone

GENERATE = "/generate"
READY = "/v2/health/ready"
CLIENT_LEFT = 499
LONGEST_WAIT = 3600.0
"""Seconds for which a question about readiness is held at most."""


class App:
    def __init__(
        self, link: ModelLink, status: Status, telemetry: Telemetry, generate: Generate, heartbeat: float
    ) -> None:
        self._heartbeat = heartbeat
        self._link = link
        self._status = status
        self._telemetry = telemetry
        self._generate = generate
        self._pages: dict[str, Callable[[], Reply]] = {
            "/": self.show_index,
            "/health": self.show_health,
            "/metrics": self.show_metrics,
            "/startup": self.show_startup,
            "/v2/health/live": self.show_live,
            READY: self.show_ready,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        outlet = self._choose_outlet(scope, send)
        reply = await self._respond(scope, path, receive, outlet)
        known = path if path in self._pages or path == GENERATE else "other"
        self._telemetry.requests[known, CLIENT_LEFT if reply is None else reply.status] += 1
        if reply is not None:
            await outlet.finish(reply)

    def _choose_outlet(self, scope: Scope, send: Send) -> Outlet:
        accepted = dict(scope["headers"]).get(b"accept", b"").lower()
        if scope["path"] == GENERATE and b"text/event-stream" in accepted:
            from entrypoints.events import EventStream, accepts_events  # only here: no start waits for what few ask for

            if accepts_events(accepted):
                return EventStream(send, self._heartbeat)
        return Outlet(send)

    async def _respond(self, scope: Scope, path: str, receive: Receive, outlet: Outlet) -> Reply | None:
        method = scope["method"]
        if path == GENERATE:
            if method != "POST":
                return refuse_method(method, path, "POST")
            return await self._generate.respond(dict(scope["headers"]), receive, outlet)
        page = self._pages.get(path)
        if page is None:
            return error_reply(404, f"There is nothing at {path}; GET / lists what there is.")
        if method not in ("GET", "HEAD"):
            return refuse_method(method, path, "GET, HEAD")
        if path == READY and not await self._wait_until_settled(dict(scope["headers"]), receive):
            return None
        return page()

    async def _wait_until_settled(self, headers: Mapping[bytes, bytes], receive: Receive) -> bool:
        """As long as ``Prefer: wait=N`` says, so that whoever waits for readiness need not ask again and again.

        False where the client went away.
        """
        patience = min(read_patience(headers), LONGEST_WAIT) if self._status.state == "starting" else 0.0
        if not patience:
            return True
        gone = asyncio.ensure_future(wait_until_gone(receive))
        try:
            await wait_for(self._status.settled, gone, patience)
        except Disconnected:
            return False
        finally:
            gone.cancel()
        return True

    def show_index(self) -> Reply:
        manifest = self._link.manifest
        document = {
            "name": manifest and manifest.name,
            "checkpoint": manifest and manifest.checkpoint,
            "target": manifest and manifest.target,
            "status": self._status.state,
            "endpoints": [*(f"GET {path}" for path in self._pages), f"POST {GENERATE}"],
            "fields": describe_fields(self._link.fields),
        }
        return json_reply(200, document)

    def show_health(self) -> Reply:
        document = {
            "status": self._status.state,
            "device": self._link.device,
            "timestamp": write_time(datetime.now(UTC)),
            "reason": self._status.reason,
        }
        return json_reply(200 if self._status.state == "ready" else 503, document)

    def show_live(self) -> Reply:
        live = self._status.state != "failed"
        return json_reply(200 if live else 503, {"live": live})

    def show_ready(self) -> Reply:
        ready = self._status.state == "ready"
        return json_reply(200 if ready else 503, {"ready": ready})

    def show_startup(self) -> Reply:
        timeline = self._telemetry.timeline
        ready = timeline.ready_seconds
        document = {
            "state": self._status.state,
            "reason": self._status.reason,
            "process_started": write_time(datetime.fromtimestamp(timeline.process_started, UTC)),
            "ready_seconds": None if ready is None else round(ready, 4),
            "phases": timeline.describe_phases(),
            "imports": timeline.imports,
            "notices": timeline.notices,
            "threads": self._link.threads,
            "verify": self._link.verify,
            "extra_files": self._link.extra_files,
        }
        return json_reply(200, document)

    def show_metrics(self) -> Reply:
        return Reply(200, self._telemetry.render(self._link.waiting).encode(), MEDIA_TYPE)


def refuse_method(method: str, path: str, allowed: str) -> Reply:
    return error_reply(405, f"{path} answers {allowed}, not {method}.", headers={"allow": allowed})


def write_time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
