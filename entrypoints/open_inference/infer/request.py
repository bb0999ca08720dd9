"""An inference request: JSON, the binary tensors after it, or one raw tensor, as arrays that fit the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from entrypoints.contract import BadRequest
from entrypoints.open_inference.infer.inputs import Reserve, describe_inputs, read_data
from entrypoints.open_inference.infer.outputs import RequestedOutput, read_outputs
from entrypoints.open_inference.infer.parameters import Problems, read_parameters
from entrypoints.open_inference.infer.raw_request import read_raw_request
from entrypoints.open_inference.models import OfferedModel

LoadJson = Callable[[bytes], Any]
"""Parses JSON within the limits of a request. Raises ValueError or RecursionError for what is not JSON."""


class InferRequest(NamedTuple):
    """``id`` is None if the client gave none. ``timeout`` in seconds, None for none: it may only shorten the server's."""

    id: str | None
    inputs: Mapping[str, np.ndarray]
    outputs: tuple[RequestedOutput, ...]
    timeout: float | None = None


def read_infer_request(
    model: OfferedModel, content: bytes, header_length: str, load_json: LoadJson, reserve: Reserve
) -> InferRequest:
    """``content``: the body without its Content-Encoding. ``header_length``: the value of Inference-Header-Content-Length, empty
    without this header.

    Raises BadRequest (400) with every problem, or what ``load_json`` and ``reserve`` raise.
    """
    json_bytes = read_header_length(header_length, len(content))
    if header_length and json_bytes == 0:
        raw = read_raw_request(model, content, reserve)
        return InferRequest(None, raw, tuple(RequestedOutput(name, binary=True) for name in model.outputs))
    try:
        document = load_json(content[:json_bytes] if json_bytes < len(content) else content)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The request is not JSON: {str(error)[:200]}.", status=400) from None
    if not isinstance(document, dict):
        raise BadRequest("The request should be a JSON object with inputs.", status=400)
    problems = Problems()
    parameters = read_parameters(document, problems)
    given = describe_inputs(model, document, (json_bytes, len(content)), problems)
    outputs = read_outputs(model, document, parameters, problems)
    problems.refuse(model.name)
    inputs = read_data(given, content, reserve, problems)
    problems.refuse(model.name)
    return InferRequest(document.get("id"), inputs, outputs, parameters.timeout)


def read_header_length(text: str, available: int) -> int:
    """How many bytes of the body are JSON. Raises BadRequest."""
    if not text:
        return available
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadRequest(f"Inference-Header-Content-Length should be a number of bytes, is {text[:40]!r}.", status=400)
    if int(text) > available:
        message = f"Inference-Header-Content-Length is {text}, the whole body has {available} bytes."
        raise BadRequest(message, status=400)
    return int(text)
