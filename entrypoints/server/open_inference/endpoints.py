"""The Open Inference Protocol v2 and Triton's extensions of it, over REST: paths under ``/v2`` that are no pages of the App."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from entrypoints.contract import BadRequest
from entrypoints.forms.raw_request import find_encoding
from entrypoints.open_inference import metadata, repository
from entrypoints.open_inference.models import ModelStarting, OfferedModel, UnknownModel
from entrypoints.open_inference.openapi import DescribedModel, describe_api
from entrypoints.open_inference.raw_infer import RawInfer
from entrypoints.open_inference.routes import NoRoute, Operation, WrongMethod, find_route
from entrypoints.open_inference.statistics import InferTimes, ModelStatistics
from entrypoints.processes.log import request_context
from entrypoints.processes.status import Status
from entrypoints.response import HTTPException, Response, error_response, json_response
from entrypoints.server.generate import Call
from entrypoints.server.open_inference.model_repository import ModelRepository
from entrypoints.server.open_inference.offered_models import OfferedModels, is_known
from entrypoints.server.open_inference.request import Request, read_header
from entrypoints.server.readiness import wait_until_decided
from entrypoints.server.response_writer import Receive, ResponseWriter
from entrypoints.server.served_model import ServedModel
from entrypoints.settings import Settings
from entrypoints.version import VERSION

ENVELOPE_BYTES = 64 * 1024
"""Bytes of a request's JSON for names, datatypes, shapes and parameters, besides the values of a form's fields."""
SHARED_MEMORY = "Shared memory is not supported: send tensors in the request."


Handler = Callable[[Request], Awaitable[Response | None]]


class OpenInference:
    def __init__(self, models: Sequence[ServedModel], status: Status, settings: Settings) -> None:
        self._models = OfferedModels(models)
        self._status = status
        self._settings = settings
        model_repository = ModelRepository(self._models, settings)
        self._handlers: Mapping[Operation, Handler] = {
            "server metadata": self._describe_server,
            "live": self._describe_readiness,
            "ready": self._describe_readiness,
            "model ready": self._describe_model_readiness,
            "model metadata": self._describe_model,
            "model config": self._describe_config,
            "model statistics": self._describe_statistics,
            "statistics": self._describe_all_statistics,
            "infer": self._infer,
            "generate": self._generate,
            "repository index": model_repository.list_models,
            "load": model_repository.load,
            "unload": model_repository.unload,
            "clear": model_repository.clear,
            "shared memory status": self._list_no_memory,
            "shared memory region status": self._refuse_memory,
            "register shared memory": self._refuse_memory,
            "unregister shared memory": self._list_no_memory,
        }

    def count_generate(self, model: ServedModel, call: Call, response: Response | None, whole: int) -> None:
        """Of ``/generate``: the model's own statistics have it too."""
        if is_known(model):
            offered = self._models.directory.find(model.label)
            count(model, offered.component, call, response, whole)

    async def respond(
        self,
        method: str,
        path: str,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        writer: ResponseWriter,
        state: dict[str, Any],
    ) -> Response | None:
        """None if the client disconnected. Raises HTTPException."""
        try:
            route = find_route(method, path)
        except NoRoute as error:
            return error_response(404, str(error))
        except WrongMethod as error:
            state["route"] = error.pattern
            return error_response(405, str(error), headers={"allow": error.allowed})
        state["route"] = route.pattern
        return await self.answer(Request(route, headers, receive, writer, state))

    async def answer(self, request: Request) -> Response | None:
        """As ``respond``, to a request whose route is known."""
        try:
            return await self._handlers[request.route.operation](request)
        except UnknownModel as error:
            return error_response(404, str(error))
        except ModelStarting as error:
            return error_response(503, str(error), headers={"retry-after": "1"})
        except BadRequest as error:
            return error_response(error.status, str(error))
        except repository.NotAllowed as error:
            challenge = {"www-authenticate": "Bearer"} if error.status == 401 else {}
            return error_response(error.status, str(error), headers=challenge)

    def describe_api(self) -> Response:
        """The OpenAPI document."""
        directory = self._models.directory
        if not all(is_known(model) for model in self._models.served):
            return error_response(
                503, "The model is loading; its fields are not known yet.", headers={"retry-after": "1"}
            )
        if unknown := [model.label for model in self._models.served if model.never_loaded]:
            message = f"The fields of {', '.join(unknown)} are known once a request has loaded it for the first time."
            return error_response(503, message)
        manifests = [model.timeline.manifest for model in self._models.served]
        described = [
            DescribedModel(
                model.label,
                list(dict.fromkeys([model.path, f"/v2/models/{model.label}/generate"])),
                model.timeline.fields,
                manifest.limits,
                manifest.warmup.media_type,
            )
            for model, manifest in zip(self._models.served, manifests, strict=True)
            if manifest is not None
        ]
        first = manifests[0]
        assert first is not None  # all are known  # noqa: S101
        image = first.multi_model.image if first.multi_model else first.name
        return json_response(200, describe_api(image, first.revision, described, directory))

    # Documents

    async def _describe_server(self, _: Request) -> Response:
        return json_response(200, metadata.describe_server(VERSION))

    async def _describe_readiness(self, _: Request) -> Response:
        ready = self._status.state == "ready"
        return json_response(200 if ready else 503, {"ready": ready})

    async def _describe_model_readiness(self, request: Request) -> Response | None:
        if not await wait_until_decided(self._status, request.headers, request.receive):
            return None
        offered, served = self._models.find(request.route)
        ready = served.accepts
        return json_response(200 if ready else 503, metadata.describe_readiness(offered, ready=ready))

    async def _describe_model(self, request: Request) -> Response:
        return json_response(200, metadata.describe_model(self._models.find(request.route)[0]))

    async def _describe_config(self, request: Request) -> Response:
        offered, served = self._models.find(request.route)
        return json_response(
            200, metadata.describe_config(offered, workers=self._settings.workers, device=served.device)
        )

    async def _describe_statistics(self, request: Request) -> Response:
        offered, served = self._models.find(request.route)
        return json_response(200, metadata.describe_statistics([describe(served, offered)]))

    async def _describe_all_statistics(self, _: Request) -> Response:
        models = self._models
        statistics = [describe(models.find_owner(offered), offered) for offered in models.directory.listed]
        return json_response(200, metadata.describe_statistics(statistics))

    async def _list_no_memory(self, _: Request) -> Response:
        return json_response(200, [])

    async def _refuse_memory(self, _: Request) -> Response:
        return error_response(400, SHARED_MEMORY)

    # Inferences

    async def _infer(self, request: Request) -> Response | None:
        offered, served = self._models.find(request.route)
        request.state.update(model=offered.name, served=served)
        headers = request.headers
        encoding, protobuf = find_encoding(headers), request.protobuf

        # Without the request, whose state holds the call: a large message would stay until the next garbage collection.
        def make(body: bytes) -> RawInfer:
            return RawInfer(
                offered.name,
                offered.component,
                body,
                encoding,
                read_header(headers, b"inference-header-content-length"),
                read_header(headers, b"accept-encoding"),
                request_context.get(),
                protobuf,
            )

        limits = served.generate.limits
        limit = min(limits.body_bytes, served.generate.body_size + ENVELOPE_BYTES)
        call = Call(limit if offered.takes_form else limits.body_bytes, make)
        return await self._ask(served, offered.component, call, request)

    async def _generate(self, request: Request) -> Response | None:
        offered, served = self._models.find(request.route)
        if offered.name != served.label:
            message = f"{offered.name} is a graph of {served.label}: POST /v2/models/{offered.name}/infer asks it."
            raise HTTPException(error_response(404, message))
        request.state.update(model=offered.name, served=served)
        return await self._ask(served, offered.component, served.generate.read_form_call(request.headers), request)

    async def _ask(self, served: ServedModel, component: str, call: Call, request: Request) -> Response | None:
        request.state["call"] = call
        begun = time.perf_counter_ns()
        response = await served.generate.respond(call, request.headers, request.receive, request.writer)
        count(served, component, call, response, time.perf_counter_ns() - begun)
        return response


def describe(served: ServedModel, offered: OfferedModel) -> dict[str, Any]:
    return served.statistics.get(offered.component, ModelStatistics()).describe(offered.name)


def count(served: ServedModel, component: str, call: Call, response: Response | None, whole: int) -> None:
    """``whole``: the nanoseconds from the request's arrival to its answer. None is the answer to a client that left."""
    statistics = served.statistics.get(component)
    if statistics is None:
        statistics = served.statistics[component] = ModelStatistics()
    inference = call.inference
    if response is None or response.status != 200 or inference is None:
        statistics.add_failure(whole)
        return
    queued = int(inference.started.result() * 1e9) if inference.started.done() else 0
    times = inference.times or InferTimes(0, int(inference.seconds * 1e9), 0)
    statistics.add_success(whole, queued, times)


def convert_error(response: Response) -> Response:
    """As clients of the protocol read it: ``{"error": "text"}``, with ``fields`` beside it if some are wrong."""
    import json

    if response.status < 400 or response.media_type != "application/json":
        return response
    try:
        error = json.loads(response.body)["error"]
        document = {"error": error["message"], **({"fields": error["fields"]} if error["fields"] else {})}
    except (ValueError, KeyError, TypeError):
        return response
    return json_response(response.status, document)._replace(headers=response.headers)
