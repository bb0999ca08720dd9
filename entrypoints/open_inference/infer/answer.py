"""The way of one inference request through the model process: bytes to tensors, tensors to tensors, tensors to bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
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
Write = Callable[[OfferedModel, InferRequest, Mapping[str, np.ndarray]], Answer]
"""Makes the answer of the outputs, in the form of the request."""


class PreparedInfer(NamedTuple):
    """A request that was read, and waits for the model. It holds nothing of the body. ``write`` makes the answer of the outputs.
    ``read_ns``: how long reading took."""

    model: OfferedModel
    request: InferRequest
    write: Write
    read_ns: int


def read_infer(model: OfferedModel, raw: RawInfer, load_json: LoadJson, reserve: Reserve) -> PreparedInfer:
    """``raw`` has a decompressed body. Raises BadRequest (400), and what ``load_json`` and ``reserve`` raise."""
    begun = time.perf_counter_ns()
    request = read_infer_request(model, raw.body, raw.header_length, load_json, reserve)
    return PreparedInfer(model, request, partial(write_answer, raw.accept_encoding), time.perf_counter_ns() - begun)


def answer_infer(prepared: PreparedInfer, run: Run) -> tuple[Answer, InferTimes]:
    """Raises what ``run`` raises."""
    model, request, write, read_ns = prepared
    begun = time.perf_counter_ns()
    outputs = run(request)
    computed = time.perf_counter_ns()
    answer = write(model, request, outputs)
    written = time.perf_counter_ns()
    batch_size = 1 if model.takes_form else find_batch_size(model, request.inputs)
    return answer, InferTimes(read_ns, computed - begun, written - computed, batch_size)


def write_answer(
    accept_encoding: str, model: OfferedModel, request: InferRequest, outputs: Mapping[str, np.ndarray]
) -> Answer:
    return compress_answer(write_infer_response(model, request, outputs), accept_encoding)
