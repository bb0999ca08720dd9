"""The way of one inference request through the model process: bytes to tensors, tensors to tensors, tensors to bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

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


def answer_infer(
    model: OfferedModel, raw: RawInfer, run: Run, load_json: LoadJson, reserve: Reserve
) -> tuple[Answer, InferTimes]:
    """``raw`` has a decompressed body. Raises BadRequest (400), and what ``run``, ``load_json`` and ``reserve`` raise."""
    begun = time.perf_counter_ns()
    request = read_infer_request(model, raw.body, raw.header_length, load_json, reserve)
    read = time.perf_counter_ns()
    outputs = run(request)
    computed = time.perf_counter_ns()
    answer = compress_answer(write_infer_response(model, request, outputs), raw.accept_encoding)
    written = time.perf_counter_ns()
    batch_size = 1 if model.takes_form else find_batch_size(model, request.inputs)
    return answer, InferTimes(read - begun, computed - read, written - computed, batch_size)
