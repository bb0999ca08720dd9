"""The methods of ``inference.GRPCInferenceService`` that are answered as the same operation over REST is. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from entrypoints.open_inference.grpc.infer_request import read_addressee
from entrypoints.open_inference.grpc.messages import decode, encode
from entrypoints.open_inference.routes import Operation, Route
from entrypoints.response import Response

SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"
INFER = f"/{SERVICE}/ModelInfer"
LIVE, READY, MODEL_READY = (f"/{SERVICE}/{name}" for name in ("ServerLive", "ServerReady", "ModelReady"))
CHECK, WATCH = f"/{HEALTH_SERVICE}/Check", f"/{HEALTH_SERVICE}/Watch"
PROBES = frozenset({LIVE, READY, MODEL_READY, CHECK, WATCH})


class Asked(NamedTuple):
    """An operation of REST. ``body``: that of its request."""

    route: Route
    body: bytes = b""


class Method(NamedTuple):
    """``read``: from the request's fields to the operation. ``name``: of the field of the answer that holds REST's document,
    empty if they have the same fields."""

    request: str
    response: str
    read: Callable[[Mapping[str, Any]], Asked]
    name: str = ""


def about_model(operation: Operation) -> Callable[[Mapping[str, Any]], Asked]:
    return lambda fields: Asked(Route(operation, fields.get("name", ""), fields.get("version", "")))


def about_statistics(fields: Mapping[str, Any]) -> Asked:
    """The statistics of one model, or of all models if the request names none."""
    return about_model("model statistics")(fields) if fields.get("name") else Asked(Route("statistics"))


def about_index(fields: Mapping[str, Any]) -> Asked:
    return Asked(Route("repository index"), json.dumps({"ready": fields.get("ready", False)}).encode())


def about_repository(operation: Operation) -> Callable[[Mapping[str, Any]], Asked]:
    def read(fields: Mapping[str, Any]) -> Asked:
        parameters = dict.fromkeys(fields.get("parameters", {}), "")  # their values are never read
        return Asked(Route(operation, fields.get("model_name", "")), json.dumps({"parameters": parameters}).encode())

    return read


METHODS: Mapping[str, Method] = {
    f"/{SERVICE}/{name}": Method(f"{name}Request", f"{name}Response", read, document)
    for name, read, document in (
        ("ModelReady", about_model("model ready"), ""),
        ("ServerMetadata", lambda _: Asked(Route("server metadata")), ""),
        ("ModelMetadata", about_model("model metadata"), ""),
        ("ModelConfig", about_model("model config"), "config"),
        ("ModelStatistics", about_statistics, ""),
        ("RepositoryIndex", about_index, "models"),
        ("RepositoryModelLoad", about_repository("load"), ""),
        ("RepositoryModelUnload", about_repository("unload"), ""),
    )
}
NAMES = (*METHODS, INFER, LIVE, READY, CHECK, WATCH)


def read_call(path: str, message: bytes) -> Asked:
    """Raises NotProtobuf."""
    if path == INFER:
        return Asked(Route("infer", *read_addressee(message)), message)
    method = METHODS[path]
    return method.read(decode(method.request, message))


def write_answer(path: str, response: Response) -> Response:
    """REST's answer as the method's message."""
    if path == MODEL_READY and response.status in (404, 503):  # so do Triton and its client
        return Response(200, encode("ModelReadyResponse", {"ready": False}))
    if path == INFER or response.status != 200:
        return response
    method, document = METHODS[path], json.loads(response.body)
    return Response(200, encode(method.response, {method.name: document} if method.name else document))
