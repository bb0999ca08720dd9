"""Outputs of a model as the body and headers of an inference response."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from entrypoints.contract import Answer
from entrypoints.open_inference.dtypes import BYTES
from entrypoints.open_inference.infer.request import InferRequest
from entrypoints.open_inference.infer.tensor_data import has_bytes, write_base64, write_binary, write_json
from entrypoints.open_inference.models import VERSION, OfferedModel

HEADER_LENGTH = "inference-header-content-length"
BASE64 = {"content_type": "base64"}
"""Parameters of an output in JSON whose elements are not text: each is in base64 (so has it MLServer)."""


def write_infer_response(model: OfferedModel, request: InferRequest, outputs: Mapping[str, np.ndarray]) -> Answer:
    """``outputs`` has every output that was asked for, with the datatype that the model describes."""
    described, pieces = [], [b""]
    for name, binary in request.outputs:
        array, datatype = outputs[name], model.outputs[name].datatype
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            pieces.append(write_binary(array, datatype))
            entry["parameters"] = {"binary_data_size": len(pieces[-1])}
        elif datatype == BYTES and has_bytes(array):
            entry |= {"parameters": BASE64, "data": write_base64(array)}
        else:
            entry["data"] = write_json(array, datatype)
        described.append(entry)
    document = {"model_name": model.name, "model_version": VERSION}
    document |= {} if request.id is None else {"id": request.id}
    pieces[0] = json.dumps({**document, "outputs": described}, separators=(",", ":")).encode()
    if len(pieces) == 1:
        return Answer(pieces[0], "application/json")
    return Answer(b"".join(pieces), "application/octet-stream", {HEADER_LENGTH: str(len(pieces[0]))})


def compress_answer(answer: Answer, accept_encoding: str) -> Answer:
    """In gzip or deflate if the client accepts it and the body becomes shorter. Only for answers of status 200: clients read
    errors as they come. The length of the JSON stays that of the uncompressed one."""
    encoding = choose_encoding(accept_encoding)
    if encoding is None:
        return answer
    headers = {**answer.headers, "vary": "accept-encoding"}
    encoder = zlib.compressobj(1, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    body = encoder.compress(answer.body) + encoder.flush()
    if len(body) >= len(answer.body):
        return answer._replace(headers=headers)
    return Answer(body, answer.media_type, {**headers, "content-encoding": encoding})


def choose_encoding(accept_encoding: str) -> str | None:
    """gzip or deflate, the one that the client prefers (RFC 9110, section 12.5.3); None for neither."""
    qualities: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameter = part.partition(";")
        key, _, value = parameter.partition("=")
        try:
            qualities[name.strip()] = float(value) if key.strip() == "q" else 1.0
        except ValueError:
            qualities[name.strip()] = 0.0
    rest = qualities.get("*", 0.0)
    best = max(("gzip", "deflate"), key=lambda name: qualities.get(name, rest))
    quality = qualities.get(best, rest)
    return best if quality > 0 and quality >= qualities.get("identity", 0.0) else None
