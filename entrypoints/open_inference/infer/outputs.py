"""The outputs that a request asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from entrypoints.open_inference.dtypes import BF16
from entrypoints.open_inference.infer.inputs import find_tensor
from entrypoints.open_inference.infer.parameters import Parameters, Problems, cut
from entrypoints.open_inference.models import OfferedModel, Tensor


class RequestedOutput(NamedTuple):
    name: str
    binary: bool


def read_outputs(
    model: OfferedModel, document: Mapping[str, Any], parameters: Parameters, problems: Problems
) -> tuple[RequestedOutput, ...]:
    entries = document.get("outputs")
    if entries is None or entries == []:
        entries = [{"name": name} for name in model.outputs]
    if not isinstance(entries, list):
        problems.add("outputs should be a list of names with parameters")
        return ()
    outputs: dict[str, RequestedOutput] = {}
    for number, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            problems.add(f"outputs[{number}] should be an object with a name")
        elif name in outputs:
            problems.add(f"the output {cut(name)} is given twice")
        elif tensor := find_tensor(name, model.outputs, "output", problems):
            outputs[name] = read_output(name, entry, tensor, parameters, problems)
    return tuple(outputs.values())


def read_output(
    name: str, entry: Mapping[str, Any], tensor: Tensor, parameters: Parameters, problems: Problems
) -> RequestedOutput:
    own = entry.get("parameters") or {}
    if not isinstance(own, dict):
        problems.add(f"parameters of the output {name} should be an object")
        own = {}
    if "shared_memory_region" in own:
        problems.add(f"{name}: shared memory is not supported: outputs come in the response")
    if own.get("classification"):
        problems.add(f"{name}: classification is not supported: ask for the tensor")
    binary = own.get("binary_data", parameters.binary_data_output)
    if not isinstance(binary, bool):
        problems.add(f"binary_data of {name} should be true or false")
    elif tensor.datatype == BF16 and not binary:
        problems.add(f"{name} is BF16, which has no form in JSON: ask for it with binary_data")
    return RequestedOutput(name, binary is True)
