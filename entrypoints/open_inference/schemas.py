"""Fields of a form and tensors of a model as JSON Schema (2020-12, the dialect of OpenAPI 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from entrypoints.contract import Field
from entrypoints.open_inference.dtypes import BF16, BOOL, BYTES, DATATYPES, INTEGER_RANGES
from entrypoints.open_inference.models import OfferedModel, Tensor

Schema = dict[str, Any]
LARGEST_NUMBER = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
"""That a datatype holds; the smallest is its negative."""
ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "What is wrong, and what to send instead."}},
    "required": ["error"],
}


def describe_form(fields: Sequence[Field], *, files: str) -> Schema:
    """``files``: how a file is sent, ``binary`` or ``base64``."""
    properties = {field.name: describe_field(field, files=files) for field in fields}
    if files == "base64":  # JSON's null leaves out a field; other bodies have no null
        for field in fields:
            properties[field.name] |= {} if field.required else allow_null(properties[field.name])
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }


def allow_null(schema: Schema) -> Schema:
    """The keys of a field's schema that have to change so that null is valid, too."""
    changed: Schema = {"type": [schema["type"], "null"]}
    return {**changed, "enum": [*schema["enum"], None]} if "enum" in schema else changed


def describe_field(field: Field, *, files: str) -> Schema:
    schema: Schema = {"description": field.help}
    if field.default is not None:
        schema["default"] = field.default
    if field.kind in ("integer", "number"):
        limits = {"minimum": field.minimum, "maximum": field.maximum}
        return {**schema, "type": field.kind, **keep(limits)}
    if field.kind == "choice":
        return {**schema, "type": "string", "enum": list(field.choices)}
    lengths = {"minLength": field.minimum, "maxLength": field.maximum}
    if field.kind == "file" and files == "binary":
        return {**schema, "type": "string", "format": "binary"}
    if field.kind == "file":  # three bytes are four characters
        lengths = {name: None if length is None else (int(length) + 2) // 3 * 4 for name, length in lengths.items()}
        return {**schema, "type": "string", "contentEncoding": "base64", **keep(lengths)}
    return {**schema, "type": "string", **{name: int(length) for name, length in keep(lengths).items()}}


def keep(limits: Mapping[str, float | None]) -> dict[str, float]:
    return {name: limit for name, limit in limits.items() if limit is not None}


def describe_infer_request(model: OfferedModel) -> Schema:
    """JSON alone. With binary data, JSON of this form comes first."""
    names = list(model.inputs)
    flags = {"binary_data": {"type": "boolean", "description": "Send this output as binary data after the JSON."}}
    output = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(model.outputs)},
            "parameters": {"type": "object", "properties": flags},
        },
        "required": ["name"],
    }
    parameters = {
        "binary_data_output": {"type": "boolean", "description": "Send all outputs as binary data."},
        "timeout": {"type": "integer", "minimum": 0, "description": "Microseconds; it shortens the server's limit."},
        "priority": {"type": "integer", "minimum": 0, "description": "Accepted and not used."},
    }
    inputs: Schema = {
        "type": "array",
        "items": {"oneOf": [describe_tensor(name, model.inputs[name]) for name in names]} if names else False,
        "minItems": sum(not tensor.optional for tensor in model.inputs.values()),
        "maxItems": len(names),
        "description": "Each input once, in any order.",
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The answer has it, too."},
            "parameters": {"type": "object", "properties": parameters},
            "inputs": inputs,
            "outputs": {"type": "array", "items": output, "description": "All outputs if it is left out or empty."},
        },
        "required": ["inputs"],
    }


def describe_infer_response(model: OfferedModel) -> Schema:
    outputs = [describe_tensor(name, tensor) for name, tensor in model.outputs.items()]
    return {
        "type": "object",
        "properties": {
            "model_name": {"const": model.name},
            "model_version": {"const": "1"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": {"oneOf": outputs} if outputs else False},
        },
        "required": ["model_name", "outputs"],
    }


def describe_tensor(name: str, tensor: Tensor) -> Schema:
    data: Schema = {"type": "array", "description": "Flat in row-major order, or nested as the shape."}
    if tensor.shape is not None and all(isinstance(axis, int) for axis in tensor.shape):
        count = prod(axis for axis in tensor.shape if isinstance(axis, int))
        data |= {"items": describe_element(tensor.datatype), "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            "datatype": {"const": tensor.datatype},
            "shape": describe_shape(tensor),
            "parameters": {"type": "object"},
            "data": data,
        },
        "required": ["name", "datatype", "shape"],
    }


def describe_shape(tensor: Tensor) -> Schema:
    length: Schema = {"type": "integer", "minimum": 0}
    if tensor.shape is None:
        return {"type": "array", "items": length}
    axes = [{"const": axis} if isinstance(axis, int) else {**length, "title": axis} for axis in tensor.shape]
    count = len(axes)
    prefix = {"prefixItems": axes} if axes else {}  # an empty one is not allowed
    return {"type": "array", **prefix, "items": False, "minItems": count, "maxItems": count}


def describe_element(datatype: str) -> Schema:
    """An element of a list in JSON; null in an answer stands for NaN and the infinities."""
    if datatype == BYTES:
        return {"type": "string"}
    if datatype == BOOL:
        return {"type": "boolean"}
    if datatype == BF16:
        return {"description": "BF16 has no form in JSON: send it as binary data."}
    if datatype in INTEGER_RANGES:
        low, high = INTEGER_RANGES[datatype]
        return {"type": "integer", "minimum": low, "maximum": high}
    largest = LARGEST_NUMBER[datatype]
    return {"type": ["number", "null"], "minimum": -largest, "maximum": largest}


def describe_metadata() -> Schema:
    """The document of ``GET /v2/models/NAME``."""
    tensor = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "datatype": {"enum": sorted(DATATYPES.values())},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
        },
        "required": ["name", "datatype", "shape"],
    }
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": tensor},
        },
        "required": ["name", "platform", "inputs", "outputs"],
    }
