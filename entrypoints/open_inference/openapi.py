"""The OpenAPI 3.1 document of an image: derived from its models' fields, tensors and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from entrypoints.contract import Field
from entrypoints.manifest.values import Limits
from entrypoints.open_inference.models import ModelDirectory, OfferedModel
from entrypoints.open_inference.schemas import (
    ERROR,
    Schema,
    describe_form,
    describe_infer_request,
    describe_infer_response,
    describe_metadata,
)

OPENAPI = "3.1.0"
Document = dict[str, Any]
JSON, BINARY = "application/json", "application/octet-stream"
EVENTS = "text/event-stream"


class DescribedModel(NamedTuple):
    """``name``: in the image. ``paths``: of its form. ``media_type``: of the answer to its warm-up request."""

    name: str
    paths: Sequence[str]
    fields: Sequence[Field]
    limits: Limits
    media_type: str


def describe_api(image: str, version: str, models: Sequence[DescribedModel], directory: ModelDirectory) -> Document:
    """``image`` and ``version``: title and version of the document."""
    paths: Document = {
        "/v2": {"get": describe_page("server_metadata", "Name, version and extensions of the server")},
        "/v2/health/live": {"get": describe_page("live", "Whether the process works", unavailable=True)},
        "/v2/health/ready": {"get": describe_page("ready", "Whether requests are answered", unavailable=True)},
        "/v2/models/stats": {"get": describe_page("statistics", "Counts and durations of all models")},
        "/v2/repository/index": {"post": describe_index()},
    }
    for model in models:
        for path in model.paths:
            paths[path] = {"post": describe_generate(model, path)}
    limits = {model.name: model.limits for model in models}
    for offered in directory.listed:
        paths |= describe_model_paths(offered, limits[offered.owner])
    return {
        "openapi": OPENAPI,
        "info": {
            "title": image,
            "version": version,
            "description": "A container made by Prebake. It speaks the Open Inference Protocol v2.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": ERROR, "ModelMetadata": describe_metadata()}},
    }


def describe_model_paths(model: OfferedModel, limits: Limits) -> Document:
    path = f"/v2/models/{model.name}"
    metadata = {"$ref": "#/components/schemas/ModelMetadata"}
    return {
        path: {"get": describe_page(f"{model.name}_metadata", "Inputs and outputs of the model", metadata)},
        f"{path}/ready": {"get": describe_page(f"{model.name}_ready", "Whether it answers", unavailable=True)},
        f"{path}/config": {"get": describe_page(f"{model.name}_config", "The model configuration of Triton")},
        f"{path}/stats": {"get": describe_page(f"{model.name}_stats", "Counts and durations")},
        f"{path}/infer": {"post": describe_infer(model, limits)},
    }


def describe_page(operation: str, summary: str, schema: Schema | None = None, *, unavailable: bool = False) -> Document:
    """A GET that answers with JSON. ``unavailable``: the same document has the status 503, too."""
    answer = {"description": summary, "content": {JSON: {"schema": schema or {"type": "object"}}}}
    responses = {"200": answer, "4XX": describe_error()}
    responses["503"] = {**answer, "description": "Not now"} if unavailable else describe_error("Not now")
    return {"operationId": operation, "summary": summary, "responses": responses}


def describe_generate(model: DescribedModel, path: str) -> Document:
    binary, text = (describe_form(model.fields, files=files) for files in ("binary", "base64"))
    content: Document = {"multipart/form-data": {"schema": binary}, JSON: {"schema": text}}
    if not any(field.kind == "file" for field in model.fields):
        content["application/x-www-form-urlencoded"] = {"schema": binary}
    answer: Document = {
        "description": "The model's answer. With Accept: text/event-stream, events of its progress come before it.",
        "content": {model.media_type: {}, EVENTS: {}},
    }
    return {
        "operationId": f"{model.name}_generate{'' if path == '/generate' else '_v2'}",
        "summary": f"Ask {model.name} in its own terms",
        "description": describe_limits(model.limits),
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answer, **describe_errors()},
    }


def describe_infer(model: OfferedModel, limits: Limits) -> Document:
    length: Document = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "description": "Bytes of the JSON, if binary data follows it.",
        "schema": {"type": "integer", "minimum": 0},
    }
    content = {JSON: {"schema": describe_infer_request(model)}, BINARY: {"schema": {}}}
    answer = {
        "description": "The outputs: JSON, or JSON and binary data.",
        "headers": {length["name"]: {"description": length["description"], "schema": length["schema"]}},
        "content": {JSON: {"schema": describe_infer_response(model)}, BINARY: {}},
    }
    return {
        "operationId": f"{model.name}_infer",
        "summary": f"Ask {model.name} in tensors",
        "description": describe_limits(limits),
        "parameters": [length],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answer, **describe_errors()},
    }


def describe_index() -> Document:
    entry = {"type": "object", "required": ["name", "state", "reason"]}
    listed = {"description": "The models", "content": {JSON: {"schema": {"type": "array", "items": entry}}}}
    flags = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    return {
        "operationId": "repository_index",
        "summary": "All models of the image, and their states",
        "requestBody": {"required": False, "content": {JSON: {"schema": flags}}},
        "responses": {"200": listed, "4XX": describe_error()},
    }


def describe_limits(limits: Limits) -> str:
    return (
        f"A body has at most {limits.body_bytes} bytes. An answer takes at most {limits.seconds:g} s; {limits.queue} "
        "requests may wait."
    )


def describe_errors() -> Mapping[str, Document]:
    return {
        "4XX": describe_error(),
        "503": {
            **describe_error("The model is starting, or the queue is full"),
            "headers": {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}},
        },
        "5XX": describe_error("The model failed, or did not answer in time"),
    }


def describe_error(description: str = "The request is wrong") -> Document:
    return {"description": description, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
