"""Outputs of a model as ``ModelInferResponse``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from entrypoints.contract import Answer
from entrypoints.open_inference.grpc.messages import encode
from entrypoints.open_inference.grpc.schema import MESSAGES
from entrypoints.open_inference.grpc.wire import write_head
from entrypoints.open_inference.infer.request import InferRequest
from entrypoints.open_inference.infer.tensor_data import write_binary
from entrypoints.open_inference.models import VERSION, OfferedModel

MEDIA_TYPE = "application/grpc"


def write_infer_message(model: OfferedModel, request: InferRequest, outputs: Mapping[str, np.ndarray]) -> Answer:
    """``outputs`` has every output that was asked for, with the datatype that the model describes. Their data are raw contents,
    as Triton sends them."""
    names = [output.name for output in request.outputs]
    described = [
        {"name": name, "datatype": model.outputs[name].datatype, "shape": list(outputs[name].shape)} for name in names
    ]
    head = {"model_name": model.name, "model_version": VERSION, "id": request.id, "outputs": described}
    raw = MESSAGES["ModelInferResponse"]["raw_output_contents"].number
    pieces = [encode("ModelInferResponse", head)]
    for name in names:
        data = write_binary(outputs[name], model.outputs[name].datatype)
        pieces += (write_head(raw, len(data)), data)
    return Answer(b"".join(pieces), MEDIA_TYPE)
