"""The endpoints, as one ASGI application without a framework: a few fixed paths need no router."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

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
    from entrypoints.server.page.status_document import StatusDocument

GENERATE, INVOCATIONS, PING = "/generate", "/invocations", "/ping"
"""The second and third are SageMaker's names."""
HEALTH, METRICS = "/health", "/metrics"
INDEX, PAGE_FILES = "/", "/page/"
LIVE, READY = "/v2/health/live", "/v2/health/ready"
PROTOCOL = "/v2"
MODELS = "/v2/models"
METHODS = "GET, HEAD, POST"
VARY = {"vary": "accept"}
"""Of ``/``: browsers get a page, programs JSON."""


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
        self._status_document: StatusDocument | None = None
        self._readiness = {READY: status, PING: status}
        self._readiness |= {f"{MODELS}/{model.name}/ready": model.status for model in models if model.name}
        if settings.health_route:
            self._readiness[settings.health_route] = status
        self._aliases = {name: GENERATE for name in (INVOCATIONS, settings.predict_route) if name}
        self._pages: dict[str, Callable[[], Response | Awaitable[Response]]] = {
            INDEX: self.show_index,
            HEALTH: self.show_health,
            METRICS: partial(answer_in_thread, self.show_metrics),
            "/openapi.json": self.show_api,
            "/startup": self.show_startup,
            "/status": partial(answer_in_thread, self.show_status),
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
        if path == INDEX or path.startswith(PAGE_FILES):
            from entrypoints.server.page.page_files import ROUTE, find_page  # no start waits for this import

            if found := find_page(path, headers):
                scope["state"]["route"] = path if path == INDEX else ROUTE
                return found if method in ("GET", "HEAD") else reject_method(method, path, "GET, HEAD")
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
        from entrypoints.server.descriptions import describe_model

        asked = [*self._models, *self._aliases]
        endpoints = [*(f"GET {path}" for path in self._pages), *(f"POST {path}" for path in asked)]
        if self._single_model is not None:
            document = describe_model(self._single_model)
            fields = document.pop("fields")
            return json_response(200, {**document, "endpoints": endpoints, "fields": fields}, VARY)
        manifests = [model.timeline.manifest for model in self._models.values()]
        image = next((manifest.multi_model.image for manifest in manifests if manifest and manifest.multi_model), None)
        models = {model.name: describe_model(model) for model in self._models.values()}
        document = {"name": image, "status": self._status.state, "endpoints": endpoints, "models": models}
        return json_response(200, document, VARY)

    def show_health(self) -> Response:
        from entrypoints.server.descriptions import describe_fallbacks

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
        from entrypoints.server.descriptions import describe_settings, describe_start

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
        later = [model.label for model in self._models.values() if not model.loaded_at_start]
        return json_response(200, {"process_started": started, **account, "not_loaded_at_start": later})

    def show_api(self) -> Response:
        return self.protocol.describe_api()

    def show_metrics(self) -> Response:
        from entrypoints.server.metrics.page import MetricsPage
        from entrypoints.server.metrics.text_format import MEDIA_TYPE

        if self._metrics is None:
            models = list(self._models.values())
            digest = self._settings.image_digest
            self._metrics = MetricsPage(models, self._status, self._timeline, self._usage, digest)
        return Response(200, self._metrics.render(), MEDIA_TYPE)

    def show_status(self) -> Response:
        from entrypoints.server.page.status_document import StatusDocument

        if self._status_document is None:
            models = list(self._models.values())
            self._status_document = StatusDocument(models, self._status, self._timeline, self._usage, self._settings)
        return json_response(200, self._status_document.describe())


async def answer_in_thread(answer: Callable[[], Response]) -> Response:
    """For documents that read files, wait for the driver of a GPU, and import modules at first."""
    try:
        return await asyncio.to_thread(answer)
    except RuntimeError:  # the limit of threads: an operator wants to see them all the more
        return answer()


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
