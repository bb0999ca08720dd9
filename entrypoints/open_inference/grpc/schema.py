"""The messages of ``inference.GRPCInferenceService`` and ``grpc.health.v1.Health``, as tables: field numbers are those of KServe
and of Triton.

docs/reference/open_inference.proto describes the same for people and for compilers of protocol buffers; a test compares both, and
both with Triton's client. Fields that no answer of ours has, and that no request of a client needs, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["bool", "int32", "uint32", "int64", "uint64", "double", "string", "bytes", "enum", "message"]


class MessageField(NamedTuple):
    """``message``: its name in ``MESSAGES``. ``values``: of an enum, by name. ``is_map``: entries with a ``key`` and a ``value``,
    which is the message. ``in_place``: it is not read, its place in the whole message is: ``(start, end)``."""

    number: int
    kind: Kind
    repeated: bool = False
    message: str = ""
    values: Mapping[str, int] = {}
    is_map: bool = False
    in_place: bool = False


Message = Mapping[str, MessageField]


def text(number: int, *, repeated: bool = False) -> MessageField:
    return MessageField(number, "string", repeated)


def whole(number: int) -> MessageField:
    return MessageField(number, "uint64")


def nested(number: int, message: str, *, repeated: bool = False) -> MessageField:
    return MessageField(number, "message", repeated, message)


def shape(number: int) -> MessageField:
    return MessageField(number, "int64", repeated=True)


def entries(number: int, message: str) -> MessageField:
    return MessageField(number, "message", repeated=True, message=message, is_map=True)


DATA_TYPES = {
    f"TYPE_{name}": number
    for number, name in enumerate(
        (
            *("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
            *("FP16", "FP32", "FP64", "STRING", "BF16"),
        )
    )
}
KINDS = {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3}
SERVING_STATES = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}
NAMED: Message = {"name": text(1), "version": text(2)}
DURATION = "StatisticDuration"
CHOICE: Message = {
    "bool_param": MessageField(1, "bool"),
    "int64_param": MessageField(2, "int64"),
    "string_param": text(3),
}

MESSAGES: Mapping[str, Message] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": MessageField(1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": MessageField(1, "bool")},
    "ModelReadyRequest": NAMED,
    "ModelReadyResponse": {"ready": MessageField(1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {**NAMED, "extensions": text(3, repeated=True)},
    "ModelMetadataRequest": NAMED,
    "ModelMetadataResponse": {
        "name": text(1),
        "versions": text(2, repeated=True),
        "platform": text(3),
        "inputs": nested(4, "ModelMetadataResponse.TensorMetadata", repeated=True),
        "outputs": nested(5, "ModelMetadataResponse.TensorMetadata", repeated=True),
    },
    "ModelMetadataResponse.TensorMetadata": {"name": text(1), "datatype": text(2), "shape": shape(3)},
    "InferParameter": {**CHOICE, "double_param": MessageField(4, "double"), "uint64_param": whole(5)},
    "ModelInferRequest": {
        "model_name": text(1),
        "model_version": text(2),
        "id": text(3),
        "parameters": entries(4, "InferParameter"),
        "inputs": nested(5, "ModelInferRequest.InferInputTensor", repeated=True),
        "outputs": nested(6, "ModelInferRequest.InferRequestedOutputTensor", repeated=True),
        "raw_input_contents": MessageField(7, "bytes", repeated=True, in_place=True),
    },
    "ModelInferRequest.InferInputTensor": {
        "name": text(1),
        "datatype": text(2),
        "shape": shape(3),
        "parameters": entries(4, "InferParameter"),
        "contents": MessageField(5, "message", message="InferTensorContents", in_place=True),
    },
    "ModelInferRequest.InferRequestedOutputTensor": {"name": text(1), "parameters": entries(2, "InferParameter")},
    "ModelInferResponse": {
        "model_name": text(1),
        "model_version": text(2),
        "id": text(3),
        "outputs": nested(5, "ModelInferResponse.InferOutputTensor", repeated=True),
        "raw_output_contents": MessageField(6, "bytes", repeated=True),
    },
    "ModelInferResponse.InferOutputTensor": {"name": text(1), "datatype": text(2), "shape": shape(3)},
    "ModelConfigRequest": NAMED,
    "ModelConfigResponse": {"config": nested(1, "ModelConfig")},
    "ModelConfig": {
        "name": text(1),
        "platform": text(2),
        "version_policy": nested(3, "ModelVersionPolicy"),
        "max_batch_size": MessageField(4, "int32"),
        "input": nested(5, "ModelInput", repeated=True),
        "output": nested(6, "ModelOutput", repeated=True),
        "instance_group": nested(7, "ModelInstanceGroup", repeated=True),
        "backend": text(17),
    },
    "ModelVersionPolicy": {"latest": nested(1, "ModelVersionPolicy.Latest")},
    "ModelVersionPolicy.Latest": {"num_versions": MessageField(1, "uint32")},
    "ModelInput": {
        "name": text(1),
        "data_type": MessageField(2, "enum", values=DATA_TYPES),
        "dims": shape(4),
        "optional": MessageField(8, "bool"),
    },
    "ModelOutput": {"name": text(1), "data_type": MessageField(2, "enum", values=DATA_TYPES), "dims": shape(3)},
    "ModelInstanceGroup": {
        "name": text(1),
        "count": MessageField(2, "int32"),
        "kind": MessageField(4, "enum", values=KINDS),
    },
    "ModelStatisticsRequest": NAMED,
    "ModelStatisticsResponse": {"model_stats": nested(1, "ModelStatistics", repeated=True)},
    "ModelStatistics": {
        "name": text(1),
        "version": text(2),
        "last_inference": whole(3),
        "inference_count": whole(4),
        "execution_count": whole(5),
        "inference_stats": nested(6, "InferStatistics"),
        "batch_stats": nested(7, "InferBatchStatistics", repeated=True),
    },
    "StatisticDuration": {"count": whole(1), "ns": whole(2)},
    "InferStatistics": {
        name: nested(number, DURATION)
        for number, name in enumerate(
            (
                *("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"),
                *("cache_hit", "cache_miss"),
            ),
            1,
        )
    },
    "InferBatchStatistics": {
        "batch_size": whole(1),
        "compute_input": nested(2, DURATION),
        "compute_infer": nested(3, DURATION),
        "compute_output": nested(4, DURATION),
    },
    "RepositoryIndexRequest": {"repository_name": text(1), "ready": MessageField(2, "bool")},
    "RepositoryIndexResponse": {"models": nested(1, "RepositoryIndexResponse.ModelIndex", repeated=True)},
    "RepositoryIndexResponse.ModelIndex": {**NAMED, "state": text(3), "reason": text(4)},
    "ModelRepositoryParameter": {**CHOICE, "bytes_param": MessageField(4, "bytes")},
    "RepositoryModelLoadRequest": {
        "repository_name": text(1),
        "model_name": text(2),
        "parameters": entries(3, "ModelRepositoryParameter"),
    },
    "RepositoryModelLoadResponse": {},
    "RepositoryModelUnloadRequest": {
        "repository_name": text(1),
        "model_name": text(2),
        "parameters": entries(3, "ModelRepositoryParameter"),
    },
    "RepositoryModelUnloadResponse": {},
    "HealthCheckRequest": {"service": text(1)},
    "HealthCheckResponse": {"status": MessageField(1, "enum", values=SERVING_STATES)},
}
"""By the name in the package ``inference`` (of the health messages: ``grpc.health.v1``). The contents of tensors are
``contents.CONTENT_FIELDS``."""
