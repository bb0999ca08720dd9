"""``ModelInferRequest``: its addressee for the server process, and its tensors as arrays for the model process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entrypoints.contract import BadRequest
from entrypoints.open_inference.grpc.messages import decode
from entrypoints.open_inference.grpc.wire import NotProtobuf, read_text, scan
from entrypoints.open_inference.models import OfferedModel

if TYPE_CHECKING:
    import numpy as np

    from entrypoints.open_inference.infer.answer import PreparedInfer
    from entrypoints.open_inference.infer.inputs import GivenInput, Reserve
    from entrypoints.open_inference.infer.parameters import Problems
    from entrypoints.open_inference.infer.request import InferRequest

MODEL_NAME, MODEL_VERSION = 1, 2


def read_addressee(content: bytes) -> tuple[str, str]:
    """The name and the version of the model, without reading anything else. Raises NotProtobuf."""
    found = {MODEL_NAME: "", MODEL_VERSION: ""}
    for field in scan(content):
        if field.number in found:
            found[field.number] = read_text(content, field)
    return found[MODEL_NAME], found[MODEL_VERSION]


def prepare_infer_message(model: OfferedModel, content: bytes, reserve: Reserve) -> PreparedInfer:
    """As ``read_infer`` of REST. Raises what ``read_infer_message`` does."""
    from entrypoints.open_inference.grpc.infer_response import write_infer_message
    from entrypoints.open_inference.infer.answer import PreparedInfer

    begun = time.perf_counter_ns()
    request = read_infer_message(model, content, reserve)
    return PreparedInfer(model, request, write_infer_message, time.perf_counter_ns() - begun)


def read_infer_message(model: OfferedModel, content: bytes, reserve: Reserve) -> InferRequest:
    """Raises BadRequest (400) with every problem, or what ``reserve`` raises."""
    from entrypoints.open_inference.infer.outputs import read_outputs  # in the model process alone: they import numpy
    from entrypoints.open_inference.infer.parameters import Problems, read_parameters
    from entrypoints.open_inference.infer.request import InferRequest

    try:
        message = decode("ModelInferRequest", content)
    except NotProtobuf as error:
        raise BadRequest(f"The message is not a ModelInferRequest: {error}.", status=400) from None
    problems = Problems()
    parameters = read_parameters(message, problems)
    given = describe_inputs(model, message, problems)
    outputs = read_outputs(
        model, {"outputs": message.get("outputs")}, parameters._replace(binary_data_output=True), problems
    )
    problems.refuse(model.name)
    arrays = read_tensors(given, content, reserve, problems)
    problems.refuse(model.name)
    asked = tuple(output._replace(binary=True) for output in outputs)
    return InferRequest(message.get("id") or None, arrays, asked, parameters.timeout)


def describe_inputs(
    model: OfferedModel, message: Mapping[str, Any], problems: Problems
) -> list[tuple[GivenInput, bool]]:
    """Each input with the place of its data, and whether those are raw contents."""
    from entrypoints.open_inference.infer.inputs import check_shapes, describe_input, find_tensor
    from entrypoints.open_inference.infer.parameters import cut

    entries, raw = message.get("inputs", []), message.get("raw_input_contents", [])
    if raw and len(raw) != len(entries):
        problems.add(f"raw_input_contents has {len(raw)} tensors, inputs has {len(entries)}")
        return []
    given: dict[str, tuple[GivenInput, bool]] = {}
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        name, contents = entry.get("name", ""), entry.get("contents")
        if name in seen:
            problems.add(f"the input {cut(name)} is given twice")
        elif tensor := find_tensor(name, model.inputs, "input", problems):
            if "shared_memory_region" in entry.get("parameters", {}):
                problems.add(f"{name}: shared memory is not supported: send the data in the request")
            if raw and contents is not None and contents[0] < contents[1]:
                problems.add(f"{name} has contents and raw_input_contents")
            if described := describe_input(name, {"shape": [], **entry}, tensor, problems):
                start, end = raw[number] if raw else contents or (0, 0)
                given[name] = described._replace(start=start, end=end), bool(raw)
        seen.add(name)
    for name, tensor in model.inputs.items():
        if name not in seen and not tensor.optional:
            problems.add(f"the input {name} is missing")
    check_shapes(model, {name: each.shape for name, (each, _) in given.items()}, problems)
    return list(given.values())


def read_tensors(
    given: list[tuple[GivenInput, bool]], content: bytes, reserve: Reserve, problems: Problems
) -> dict[str, np.ndarray]:
    from entrypoints.open_inference.grpc.contents import read_contents
    from entrypoints.open_inference.infer.inputs import measure_binary
    from entrypoints.open_inference.infer.tensor_data import read_binary

    arrays: dict[str, np.ndarray] = {}
    reserved = 0

    def reserve_more(amount: int, what: str) -> None:
        nonlocal reserved
        reserved += amount
        reserve(reserved, what)

    for (name, datatype, shape, _, start, end), is_raw in given:
        try:
            if is_raw:
                reserve_more(measure_binary(datatype, shape, end - start), "the tensors")
                arrays[name] = read_binary(content, start, end, datatype, shape)
            else:
                arrays[name] = read_contents(content, start, end, datatype, shape, reserve_more)
        except ValueError as error:
            problems.add(f"{name}: {error}")
    return arrays
