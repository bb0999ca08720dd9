"""The protocol's documents about the server and its models. The server process writes them: no numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from entrypoints.open_inference.dtypes import to_config_type
from entrypoints.open_inference.models import VERSION, OfferedModel, Tensor

SERVER_NAME = "prebake"
EXTENSIONS = ("binary_tensor_data", "generate", "model_configuration", "model_repository", "statistics")
"""The extensions of Triton that a container has."""
FORM_PLATFORM, GRAPH_PLATFORM = "prebake_form", "onnx_onnxv1"
"""``PROJECT_FORMAT``, as the protocol asks; the second is in its table of platforms."""


def describe_error(message: str) -> dict[str, str]:
    """The body of every error under ``/v2``. Clients read the text by this name, and expect a string."""
    return {"error": message}


def describe_server(version: str) -> dict[str, Any]:
    """``GET /v2``. ``version``: of the server."""
    return {"name": SERVER_NAME, "version": version, "extensions": list(EXTENSIONS)}


def describe_readiness(model: OfferedModel, *, ready: bool) -> dict[str, Any]:
    """``GET /v2/models/NAME/ready``"""
    return {"name": model.name, "ready": ready}


def describe_model(model: OfferedModel) -> dict[str, Any]:
    """``GET /v2/models/NAME``"""
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": FORM_PLATFORM if model.takes_form else GRAPH_PLATFORM,
        "inputs": [describe_tensor(name, tensor) for name, tensor in model.inputs.items()],
        "outputs": [describe_tensor(name, tensor) for name, tensor in model.outputs.items()],
    }


def describe_tensor(name: str, tensor: Tensor) -> dict[str, Any]:
    return {"name": name, "datatype": tensor.datatype, "shape": describe_shape(tensor)}


def describe_shape(tensor: Tensor) -> list[int]:
    """-1 for a dynamic axis. The protocol has no word for a tensor of any rank: it is described as one dynamic axis."""
    return [-1] if tensor.shape is None else [axis if isinstance(axis, int) else -1 for axis in tensor.shape]


def describe_config(model: OfferedModel, *, workers: int, device: str) -> dict[str, Any]:
    """``GET /v2/models/NAME/config``: Triton's ModelConfig as JSON. ``device``: cpu or cuda.

    ``max_batch_size`` is 0: shapes are whole, a batch is an axis like any other.
    """
    return {
        "name": model.name,
        "platform": FORM_PLATFORM if model.takes_form else "onnxruntime_onnx",
        "backend": "python" if model.takes_form else "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [
            {**describe_config_tensor(name, tensor), "optional": tensor.optional}
            for name, tensor in model.inputs.items()
        ],
        "output": [describe_config_tensor(name, tensor) for name, tensor in model.outputs.items()],
        "instance_group": [
            {"name": model.name, "kind": "KIND_GPU" if device == "cuda" else "KIND_CPU", "count": workers}
        ],
    }


def describe_config_tensor(name: str, tensor: Tensor) -> dict[str, Any]:
    return {"name": name, "data_type": to_config_type(tensor.datatype), "dims": describe_shape(tensor)}


def describe_statistics(statistics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``GET /v2/models/stats`` and ``GET /v2/models/NAME/stats`` (``statistics.ModelStatistics.describe``)."""
    return {"model_stats": list(statistics)}
