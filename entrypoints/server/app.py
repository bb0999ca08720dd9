"""The endpoints, as one ASGI application without a framework: a few fixed paths need no router."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from entrypoints.forms.fields import describe_fields
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.response import HTTPException, Response, error_response, json_response
from entrypoints.server.http.access_log import CLIENT_CLOSED_REQUEST
from entrypoints.server.http.browser_request import check_browser_request
from entrypoints.server.readiness import wait_until_decided
from entrypoints.server.response_writer import Receive, ResponseWriter, Scope, Send
from entrypoints.server.served_model import ServedModel
from entrypoints.server.usage import ServerUsage
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.server.generate import Call
    from entrypoints.server.metrics.page import MetricsPage
    from entrypoints.server.open_inference.endpoints import OpenInference

GENERATE, INVOCATIONS, PING = "/generate", "/invocations", "/ping"
"""The second and third are SageMaker's names."""
HEALTH, METRICS = "/health", "/metrics"
LIVE, READY = "/v2/health/live", "/v2/health/ready"
PROTOCOL = "/v2"
MODELS = "/v2/models"
METHODS = "GET, HEAD, POST"


class App:
    def __init__(
        self,
        models: Sequence[ServedModel],
        status: Status,
        timeline: Timeline,
        usage: ServerUsage,
        settings: Settings,
    ) -> None:
        self._settings = settings
        self._models = {model.path: model for model in models}
        self._single_model = models[0] if not models[0].name else None
        self._status = status
        self._timeline = timeline
        self._usage = usage
        self._metrics: MetricsPage | None = None
        self._open_inference: OpenInference | None = None
        self._readiness = {READY: status, PING: status}
        self._readiness |= {f"{MODELS}/{model.name}/ready": model.status for model in models if model.name}
        if settings.health_route:
            self._readiness[settings.health_route] = status
        self._aliases = {name: GENERATE for name in (INVOCATIONS, settings.predict_route) if name}
        self._pages: dict[str, Callable[[], Response | Awaitable[Response]]] = {
            "/": self.show_index,
            HEALTH: self.show_health,
            METRICS: self.show_metrics,
            "/openapi.json": self.show_api,
            "/startup": self.show_startup,
            LIVE: self.show_live,
            **{path: partial(show_ready, status) for path, status in self._readiness.items()},
            **{f"{MODELS}/{model.name}/ready": partial(show_model_ready, model) for model in models if model.name},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        path = self._find_path(scope["path"], headers)
        state = scope["state"]
        state["probe"] = self._is_probe(path)
        if path in self._pages or path in self._models:
            state["route"] = path
        writer = self._choose_writer(path, headers, send)
        try:
            response = self._check(scope, path, headers) or await self._respond(scope, path, headers, receive, writer)
        except HTTPException as error:
            response = error.response
        state["outcome"] = CLIENT_CLOSED_REQUEST if response is None else response.status
        if response is not None:
            if response.status >= 400 and is_of_protocol(path):
                from entrypoints.server.open_inference.endpoints import convert_error

                response = convert_error(response)
            await writer.finish(response)

    def _find_path(self, path: str, headers: Mapping[bytes, bytes]) -> str:
        """The path of the endpoint that a cloud knows by another name."""
        if path not in self._aliases:
            return path
        if self._single_model is not None:
            return GENERATE
        name = headers.get(b"x-amzn-sagemaker-target-model", b"").decode("latin-1")
        return f"{MODELS}/{name}/generate" if name else path

    def _is_probe(self, path: str) -> bool:
        """Whether an orchestrator asks this path every few seconds. Such requests are answered even if no connection is left for
        others, and the access log has them only if they fail."""
        if path in self._readiness or path in (HEALTH, LIVE, METRICS):
            return True
        return path.startswith(f"{MODELS}/") and path.endswith("/ready")

    def _check(self, scope: Scope, path: str, headers: Mapping[bytes, bytes]) -> Response | None:
        """The refusal of a request that no endpoint sees."""
        if (overload := scope["state"].get("overloaded")) and not scope["state"]["probe"]:
            return error_response(503, overload)
        if scope["method"] == "POST":
            return check_browser_request(headers, self._settings.allowed_hosts, self._settings.allowed_origins)
        if path == "*":  # OPTIONS about the whole server (RFC 9110, section 9.3.7)
            return Response(204, b"", headers={"allow": METHODS})
        return None

    def _choose_writer(self, path: str, headers: Mapping[bytes, bytes], send: Send) -> ResponseWriter:
        accepted = headers.get(b"accept", b"").lower()
        if (path in self._models or path.endswith(GENERATE)) and b"text/event-stream" in accepted:
            from entrypoints.server.event_stream import (  # here, so that no start waits for this import
                EventStream,
                accepts_events,
            )

            if accepts_events(accepted):
                return EventStream(send, self._settings.heartbeat)
        return ResponseWriter(send)

    async def _respond(
        self, scope: Scope, path: str, headers: Mapping[bytes, bytes], receive: Receive, writer: ResponseWriter
    ) -> Response | None:
        """None if the client disconnected."""
        method = scope["method"]
        if model := self._models.get(path):
            if manifest := model.timeline.manifest:
                scope["state"]["model"] = model.name or manifest.name  # for the access log
            if method != "POST":
                return reject_method(method, path, "POST")
            scope["state"]["served"] = model
            of_vertex = scope["path"] == self._settings.predict_route
            call = scope["state"]["call"] = model.generate.read_form_call(headers, of_vertex=of_vertex)
            begun = time.perf_counter_ns()
            response = await model.generate.respond(call, headers, receive, writer)
            whole = time.perf_counter_ns() - begun
            # After the answer has been sent: the first count imports modules, and the first answer is measured.
            asyncio.get_running_loop().call_soon(self._count, model, call, response, whole)
            return response
        page = self._pages.get(path)
        if page is None and is_of_protocol(path):
            return await self.protocol.respond(method, path, headers, receive, writer, scope["state"])
        if page is None:
            return self._reject_path(path)
        if method not in ("GET", "HEAD"):
            return reject_method(method, path, "GET, HEAD")
        status = self._readiness.get(path)
        if status and not scope["state"].get("overloaded") and not await wait_until_decided(status, headers, receive):
            return None
        answer = page()
        return answer if isinstance(answer, Response) else await answer

    def _count(self, model: ServedModel, call: Call, response: Response | None, whole: int) -> None:
        self.protocol.count_generate(model, call, response, whole)

    def _reject_path(self, path: str) -> Response:
        if self._single_model is None and (path == GENERATE or path in self._aliases):
            names = ", ".join(f"POST {each}" for each in self._models)
            return error_response(404, f"There is no endpoint {path}; this server has several models: {names}.")
        return error_response(404, f"There is no endpoint {path}; GET / lists the endpoints.")

    @property
    def protocol(self) -> OpenInference:
        """Imported by the first request that needs it."""
        if self._open_inference is None:
            from entrypoints.server.open_inference.endpoints import OpenInference

            self._open_inference = OpenInference(list(self._models.values()), self._status, self._settings)
        return self._open_inference

    def show_index(self) -> Response:
        asked = [*self._models, *self._aliases]
        endpoints = [*(f"GET {path}" for path in self._pages), *(f"POST {path}" for path in asked)]
        if self._single_model is not None:
            document = describe_model(self._single_model)
            return json_response(200, {**document, "endpoints": endpoints, "fields": document.pop("fields")})
        manifests = [model.timeline.manifest for model in self._models.values()]
        image = next((manifest.multi_model.image for manifest in manifests if manifest and manifest.multi_model), None)
        models = {model.name: describe_model(model) for model in self._models.values()}
        return json_response(
            200, {"name": image, "status": self._status.state, "endpoints": endpoints, "models": models}
        )

    def show_health(self) -> Response:
        document = {
            "status": self._status.state,
            "device": next(iter(self._models.values())).device,
            "timestamp": write_time(datetime.now(UTC)),
            "reason": self._status.reason,
            "fallbacks": [fallback for model in self._models.values() for fallback in describe_fallbacks(model)],
        }
        return json_response(200 if self._status.state == "ready" else 503, document)

    def show_live(self) -> Response:
        live = self._status.state != "failed"
        return json_response(200 if live else 503, {"live": live})

    def show_startup(self) -> Response:
        timeline = self._timeline
        started = write_time(datetime.fromtimestamp(timeline.process_started, UTC))
        if self._single_model is not None:
            account = describe_start(self._status, timeline) | describe_settings(self._settings, timeline)
        else:
            account = describe_start(self._status, timeline)
            account["models"] = {
                model.name: describe_start(model.status, model.timeline)
                | describe_settings(self._settings, model.timeline)
                for model in self._models.values()
            }
        return json_response(200, {"process_started": started, **account})

    def show_api(self) -> Response:
        return self.protocol.describe_api()

    async def show_metrics(self) -> Response:
        """In a thread: it reads files, waits for the driver of a GPU, and imports modules at first."""
        try:
            return await asyncio.to_thread(self._render_metrics)
        except RuntimeError:  # the limit of threads: an operator wants to see the metrics all the more
            return self._render_metrics()

    def _render_metrics(self) -> Response:
        from entrypoints.server.metrics.page import MetricsPage
        from entrypoints.server.metrics.text_format import MEDIA_TYPE

        if self._metrics is None:
            models = list(self._models.values())
            digest = self._settings.image_digest
            self._metrics = MetricsPage(models, self._status, self._timeline, self._usage, digest)
        return Response(200, self._metrics.render(), MEDIA_TYPE)


def describe_model(model: ServedModel) -> dict[str, object]:
    manifest = model.timeline.manifest
    return {
        "name": manifest and manifest.name,
        "checkpoint": manifest and manifest.checkpoint,
        "target": manifest and manifest.target,
        "status": model.state,
        "fields": describe_fields(model.timeline.fields),
    }


def describe_start(status: Status, timeline: Timeline) -> dict[str, object]:
    ready = timeline.ready_seconds
    return {
        "state": status.state,
        "reason": status.reason,
        "ready_seconds": None if ready is None else round(ready, 4),
        "phases": timeline.describe_phases(),
        "imports": dict(timeline.imports),  # another thread may add to it
        "notices": timeline.notices,
        "opened": dict(timeline.opened),
        "closed": list(timeline.closed),
        "fallbacks": timeline.fallbacks,
    }


def describe_fallbacks(model: ServedModel) -> list[dict[str, str]]:
    """Of one model, with its name if the image has several."""
    name = {"model": model.name} if model.name else {}
    return [{**name, **fallback} for fallback in model.timeline.fallbacks]


def describe_settings(settings: Settings, timeline: Timeline) -> dict[str, object]:
    threads = timeline.threads or settings.threads
    return {"threads": threads, "verify": settings.verify, "extra_files": timeline.extra_files}


def is_of_protocol(path: str) -> bool:
    """Whether the path belongs to the Open Inference Protocol."""
    return path == PROTOCOL or path.startswith(f"{PROTOCOL}/")


def show_ready(status: Status) -> Response:
    ready = status.state == "ready"
    return json_response(200 if ready else 503, {"ready": ready})


def show_model_ready(model: ServedModel) -> Response:
    ready = model.accepts
    return json_response(200 if ready else 503, {"name": model.name, "ready": ready})


def reject_method(method: str, path: str, allowed: str) -> Response:
    return error_response(405, f"{path} accepts {allowed}, not {method}.", headers={"allow": allowed})


def write_time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
