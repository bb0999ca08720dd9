"""A real server that speaks gRPC, and Triton's client for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.container.running import Server

INFER = "/inference.GRPCInferenceService/ModelInfer"
GRPC = {"PREBAKE_GRPC_PORT": "0"}
"""A free port; the server's log has it."""


def find_grpc_port(server: Server) -> int:
    return int(server.wait_for_event("grpc live")["address"].rpartition(":")[2])


@contextlib.contextmanager
def grpc_client(port: int, **options: Any) -> Iterator[Any]:
    """A tritonclient.grpc.InferenceServerClient. Imported here: it takes a second, and few tests use it."""
    from tritonclient.grpc import InferenceServerClient

    client = InferenceServerClient(f"127.0.0.1:{port}", **options)
    try:
        yield client
    finally:
        client.close()


def make_grpc_input(name: str, array: np.ndarray) -> Any:
    """A tritonclient.grpc.InferInput."""
    from tritonclient.grpc import InferInput
    from tritonclient.utils import np_to_triton_dtype

    described = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return described.set_data_from_numpy(array)


@contextlib.contextmanager
def grpc_channel(port: int, **options: int) -> Iterator[Any]:
    """A plain channel, for what Triton's client does not send. ``options``: of the core, with _ in place of dots."""
    import grpc

    pairs = [(f"grpc.{name}", value) for name, value in options.items()]
    with grpc.insecure_channel(f"127.0.0.1:{port}", pairs) as channel:
        yield channel


def ask(channel: Any, method: str, message: bytes = b"", **options: Any) -> Any:
    """The answer to a message of bytes, and the call with its metadata."""
    return channel.unary_unary(method).with_call(message, **{"timeout": 20, **options})


def form(**values: bytes) -> list[Any]:
    return [make_grpc_input(name, np.array([value], object)) for name, value in values.items()]


def infer_message(model: str, values: dict[str, bytes]) -> bytes:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model)
    for name, value in values.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(value)
    content: bytes = request.SerializeToString()
    return content


def refusal(call: Any) -> tuple[str, str]:
    """The status and the text of a call that has to fail."""
    import grpc
    from tritonclient.utils import InferenceServerException

    with pytest.raises((InferenceServerException, grpc.RpcError)) as error:
        call()
    value: Any = error.value
    if isinstance(value, grpc.RpcError):
        return value.code().name, value.details()
    return str(value.status()).removeprefix("StatusCode."), str(value.message())
