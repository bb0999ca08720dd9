"""The way of one inference request through the model process: bytes to tensors, tensors to tensors, tensors to bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from entrypoints.contract import Answer
from entrypoints.open_inference.infer.graph import find_batch_size
from entrypoints.open_inference.infer.inputs import Reserve
from entrypoints.open_inference.infer.request import InferRequest, LoadJson, read_infer_request
from entrypoints.open_inference.infer.response import compress_answer, write_infer_response
from entrypoints.open_inference.models import OfferedModel
from entrypoints.open_inference.raw_infer import RawInfer
from entrypoints.open_inference.statistics import InferTimes

Run = Callable[[InferRequest], Mapping[str, np.ndarray]]
"""Computes the outputs of the model."""


class PreparedInfer(NamedTuple):
    """A request that was read, and waits for the model. It holds nothing of the body. ``read_ns``: how long reading took.
    ``protobuf``: as in ``RawInfer``."""

    model: OfferedModel
    request: InferRequest
    accept_encoding: str
    read_ns: int
    protobuf: bool = False


def read_infer(model: OfferedModel, raw: RawInfer, load_json: LoadJson, reserve: Reserve) -> PreparedInfer:
    """``raw`` has a decompressed body. Raises BadRequest (400), and what ``load_json`` and ``reserve`` raise."""
    begun = time.perf_counter_ns()
    if raw.protobuf:
        from entrypoints.open_inference.grpc.infer_request import read_infer_message  # only images with gRPC have it

        request = read_infer_message(model, raw.body, reserve)
    else:
        request = read_infer_request(model, raw.body, raw.header_length, load_json, reserve)
    return PreparedInfer(model, request, raw.accept_encoding, time.perf_counter_ns() - begun, raw.protobuf)


def answer_infer(prepared: PreparedInfer, run: Run) -> tuple[Answer, InferTimes]:
    """Raises what ``run`` raises."""
    model, request, accept_encoding, read_ns, protobuf = prepared
    begun = time.perf_counter_ns()
    outputs = run(request)
    computed = time.perf_counter_ns()
    if protobuf:
        from entrypoints.open_inference.grpc.infer_response import write_infer_message

        answer = write_infer_message(model, request, outputs)
    else:
        answer = compress_answer(write_infer_response(model, request, outputs), accept_encoding)
    written = time.perf_counter_ns()
    batch_size = 1 if model.takes_form else find_batch_size(model, request.inputs)
    return answer, InferTimes(read_ns, computed - begun, written - computed, batch_size)
